/** A picture with its words: drawn by Observable Plot to the width there is, taken away as SVG or PNG. */

import * as Plot from "@observablehq/plot";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { savePng, saveSvg } from "./save";

export { Plot };

interface Words {
  title: string;
  /** What is seen, in one sentence, for those who cannot see it. */
  alt: string;
  name: string;
  children?: ComponentChildren;
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
  children,
  drawn,
  picture,
}: Omit<Words, "alt"> & { drawn: () => SVGSVGElement | null; picture: ComponentChildren }) {
  const take = (how: (name: string, svg: SVGSVGElement) => void) => () => {
    const svg = drawn();
    if (svg) how(name, svg);
  };
  return (
    <figure>
      <h2 class="title">{title}</h2>
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
    const svg = plot instanceof SVGSVGElement ? plot : plot.querySelector("svg");
    svg?.setAttribute("role", "img");
    svg?.setAttribute("aria-label", words.alt);
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
