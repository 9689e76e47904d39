/** A picture with its words: drawn by Observable Plot to the width there is, taken away as SVG or PNG. */

import * as Plot from "@observablehq/plot";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { savePng, saveSvg, type Key, type Picture } from "./save";

export { Plot };

interface Words {
  title: string;
  /** What is seen, in one sentence, for those who cannot see it. */
  alt: string;
  name: string;
  /** What the colours stand for, where there are several. */
  keys?: Key[];
  children?: ComponentChildren;
}

function Legend({ keys }: { keys: Key[] }) {
  return (
    <p class="legend" aria-hidden="true">
      {keys.map(({ words, fill, stroke, opacity = 1 }) => (
        <span>
          <i class="swatch" style={`border-color: ${stroke ?? "transparent"}`}>
            <i style={`background: ${fill}; opacity: ${opacity}`} />
          </i>
          {words}
        </span>
      ))}
    </p>
  );
}

/** The layers to name on an axis of so many pixels: whole numbers, the first among them. */
export function layerTicks(layers: number, room: number): number[] {
  const step = Math.max(1, Math.ceil((24 * layers) / Math.max(room, 24)));
  return Array.from({ length: Math.ceil(layers / step) }, (_, at) => at * step);
}

/** The width that an element has. */
export function useWidth(): [preact.RefObject<HTMLDivElement | null>, number] {
  const place = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    setWidth(Math.floor(element.clientWidth));
    const observer = new ResizeObserver(() => setWidth(Math.floor(element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [place, width];
}

/** The frame of a picture: what `drawn` gives is what is saved. */
export function Frame({
  title,
  name,
  keys = [],
  children,
  drawn,
  picture,
}: Omit<Words, "alt"> & { drawn: () => SVGSVGElement | null; picture: ComponentChildren }) {
  const take = (how: (picture: Picture) => void) => () => {
    const svg = drawn();
    if (svg) how({ name, title, keys, svg });
  };
  return (
    <figure>
      <h2 class="title">{title}</h2>
      {keys.length > 0 && <Legend keys={keys} />}
      {picture}
      <figcaption>{children}</figcaption>
      <p class="take">
        {(["SVG", "PNG"] as const).map((form) => (
          <button type="button" onClick={take(form === "SVG" ? saveSvg : savePng)}>
            {form}
            <span class="unseen"> of {title}</span>
          </button>
        ))}
      </p>
    </figure>
  );
}

export function Figure({
  draw,
  deps,
  ...words
}: Words & { draw: (width: number) => Plot.PlotOptions; deps: unknown[] }) {
  const [place, width] = useWidth();
  useEffect(() => {
    if (!width || !place.current) return;
    const plot = Plot.plot({
      width,
      style: { fontSize: "12px", fontFamily: "inherit", background: "transparent", overflow: "visible" },
      ...draw(width),
    });
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", words.alt);
    // names of groups of marks, which mean nothing in a picture that is heard as one
    for (const group of plot.querySelectorAll("g[aria-label]")) group.removeAttribute("aria-label");
    place.current.replaceChildren(plot);
  }, [width, ...deps]);
  return (
    <Frame
      {...words}
      drawn={() => place.current?.querySelector("svg") ?? null}
      picture={<div class="plot" ref={place} />}
    />
  );
}
