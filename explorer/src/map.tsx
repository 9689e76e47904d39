/** Which concepts are alike: every two circuits in the order of a dendrogram. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { bound, boundAtLayer, boundOfAll } from "./bound";
import { Choice, useView } from "./choice";
import { Frame, useWidth } from "./figure";
import { go, link } from "./place";
import { svgElement } from "./save";
import { TakeCsv } from "./table";
import { bare, fixed, rounded } from "./words";

const ZOOM = 1.5;
/** Pixels between neighbours from which all are named. */
const SMALLEST = 8;

/** How strong a share of the most there can be is drawn: the few that differ among the many alike are to be seen. */
const shade = (share: number): number => share ** 2;

interface Window {
  x: number;
  y: number;
  span: number;
}

/** Of a canvas, which no style sheet reaches; on paper they are those of the light page. */
function colours(paper: boolean): { accent: string; ground: string; ink: string; soft: string } {
  if (paper) return { accent: "#b5440c", ground: "#fff", ink: "#000", soft: "#333" };
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return { accent: of("--accent"), ground: of("--panel"), ink: of("--ink"), soft: of("--soft") };
}

export function MapPage() {
  const { atlas, circuits, definition, place } = useView();
  const [layer, setLayer] = useState(-1);
  const [byName, setByName] = useState(false);
  const [cell, setCell] = useState<[number, number] | null>(null);
  const [frame, width] = useWidth();
  const canvas = useRef<HTMLCanvasElement>(null);
  const n = atlas.concepts.length;
  const [seen, setSeen] = useState<Window>({ x: 0, y: 0, span: n });
  const drag = useRef<{ x: number; y: number; from: Window; moved: boolean } | null>(null);
  const order = useMemo(
    () => (byName ? atlas.concepts.map((_, at) => at) : definition.order),
    [atlas, definition, byName],
  );
  const values = circuits.similarity(layer);
  const most = useMemo(
    () => (layer < 0 ? bound(circuits, circuits.emptyLayers()) : 1),
    [circuits, layer],
  );
  const strength = (similarity: number): number => (most ? shade(Math.min(similarity / most, 1)) : 0);
  const limit = useMemo(
    () => (layer < 0 ? boundOfAll(circuits) : boundAtLayer(circuits, layer)),
    [circuits, layer],
  );
  const margin = width < 500 ? 66 : 104;
  const side = Math.max(0, Math.min(width - margin, 960));
  const size = side / seen.span;
  const ratio = Math.min(globalThis.devicePixelRatio || 1, 2);
  const at = (row: number, column: number): number => values[order[row]! * n + order[column]!]!;
  const name = (row: number): string => bare(atlas.concepts[order[row]!]!);

  useEffect(() => setSeen({ x: 0, y: 0, span: n }), [n]);
  const paint = (paper: boolean): void => {
    const context = canvas.current?.getContext("2d");
    if (!context || !side) return;
    const { accent, ground, ink, soft } = colours(paper);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, margin + side, margin + side);
    context.save();
    context.beginPath();
    context.rect(margin, margin, side, side);
    context.clip();
    context.fillStyle = ground;
    context.fillRect(margin, margin, side, side);
    const tones = Array.from({ length: 101 }, (_, share) => `color-mix(in srgb, ${accent} ${share}%, ${ground})`);
    const [first, last] = [Math.floor, Math.ceil] as const;
    // edges on whole pixels, so that neighbours neither overlap nor leave a gap
    const edge = (place: number): number => Math.round(place * size * ratio) / ratio;
    for (let row = first(seen.y); row < Math.min(n, last(seen.y + seen.span)); row++)
      for (let column = first(seen.x); column < Math.min(n, last(seen.x + seen.span)); column++) {
        const [x, y] = [edge(column - seen.x), edge(row - seen.y)];
        context.fillStyle = tones[Math.round(100 * strength(at(row, column)))]!;
        // half a pixel more, which the next cell covers: printed edges leave no seam
        context.fillRect(
          margin + x,
          margin + y,
          edge(column + 1 - seen.x) - x + 0.5,
          edge(row + 1 - seen.y) - y + 0.5,
        );
      }
    if (cell) {
      context.strokeStyle = ink;
      context.lineWidth = 1.5;
      context.strokeRect(margin + (cell[1] - seen.x) * size, margin + (cell[0] - seen.y) * size, size, size);
    }
    context.restore();
    const font = size >= SMALLEST ? Math.min(12, size - 0.4) : 11;
    context.font = `${font}px ${getComputedStyle(document.body).fontFamily}`;
    context.textBaseline = "middle";
    const label = (row: number, strong: boolean): void => {
      context.fillStyle = strong ? ink : soft;
      const y = margin + (row + 0.5 - seen.y) * size;
      if (y < margin || y > margin + side) return;
      context.textAlign = "right";
      context.fillText(name(row), margin - 6, y, margin - 8);
    };
    const head = (column: number, strong: boolean): void => {
      const x = margin + (column + 0.5 - seen.x) * size;
      if (x < margin || x > margin + side) return;
      context.save();
      context.translate(x, margin - 6);
      context.rotate(-Math.PI / 2);
      context.fillStyle = strong ? ink : soft;
      context.textAlign = "left";
      context.fillText(name(column), 0, 0, margin - 8);
      context.restore();
    };
    if (size >= SMALLEST)
      for (let row = 0; row < n; row++) {
        label(row, cell?.[0] === row);
        head(row, cell?.[1] === row);
      }
    else if (cell) {
      label(cell[0], true);
      head(cell[1], true);
    }
  };
  useEffect(() => paint(false), [values, order, seen, side, cell, margin]);
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const again = (event: Event): void => paint(event.type === "beforeprint");
    for (const name of ["beforeprint", "afterprint"]) addEventListener(name, again);
    dark.addEventListener("change", again);
    return () => {
      for (const name of ["beforeprint", "afterprint"]) removeEventListener(name, again);
      dark.removeEventListener("change", again);
    };
  });

  const inside = (span: number, x: number, y: number): Window => {
    const bounded = Math.max(Math.min(4, n), Math.min(n, span));
    const fit = (value: number): number => Math.max(0, Math.min(n - bounded, value));
    return { span: bounded, x: fit(x), y: fit(y) };
  };
  const zoom = (factor: number, row?: number, column?: number): void =>
    setSeen((now) => {
      const [y, x] = [row ?? now.y + now.span / 2, column ?? now.x + now.span / 2];
      const span = Math.max(Math.min(4, n), Math.min(n, now.span * factor));
      const share = span / now.span;
      return inside(span, x - (x - now.x) * share, y - (y - now.y) * share);
    });
  const under = (event: MouseEvent): [number, number] | null => {
    const box = canvas.current!.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left - margin) / size + seen.x);
    const row = Math.floor((event.clientY - box.top - margin) / size + seen.y);
    const outside = event.clientX - box.left < margin || event.clientY - box.top < margin;
    return outside || row < 0 || column < 0 || row >= n || column >= n ? null : [row, column];
  };
  const open = ([row, column]: [number, number]): void => {
    const [one, other] = [atlas.concepts[order[row]!]!, atlas.concepts[order[column]!]!];
    go(link(row === column ? { concept: one } : { pair: one, with: other }, place));
  };
  useEffect(() => {
    const element = canvas.current;
    // the wheel zooms with Ctrl (as a pinch of two fingers does), so that a page still scrolls
    const wheel = (event: WheelEvent): void => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const pointed = under(event);
      zoom(event.deltaY < 0 ? 1 / 1.2 : 1.2, pointed?.[0], pointed?.[1]);
    };
    element?.addEventListener("wheel", wheel, { passive: false });
    return () => element?.removeEventListener("wheel", wheel);
  });
  const MOVES: Record<string, [number, number]> = {
    ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
  };
  const key = (event: KeyboardEvent): void => {
    const move = MOVES[event.key];
    if (move) {
      const [row, column] = cell ?? [Math.floor(seen.y), Math.floor(seen.x)];
      const next: [number, number] = cell
        ? [Math.max(0, Math.min(n - 1, row + move[0])), Math.max(0, Math.min(n - 1, column + move[1]))]
        : [row, column];
      setCell(next);
      setSeen((now) => {
        const follow = (start: number, place: number): number =>
          place < start ? place : place + 1 > start + now.span ? place + 1 - now.span : start;
        return inside(now.span, follow(now.x, next[1]), follow(now.y, next[0]));
      });
    } else if (event.key === "+" || event.key === "=") zoom(1 / ZOOM, cell?.[0], cell?.[1]);
    else if (event.key === "-") zoom(ZOOM, cell?.[0], cell?.[1]);
    else if (event.key === "0") setSeen({ x: 0, y: 0, span: n });
    else if (event.key === "Enter" && cell) open(cell);
    else return;
    event.preventDefault();
  };
  /** The whole map as vectors, drawn when it is asked for. */
  const vectors = (): SVGSVGElement => {
    const step = 10;
    const edge = 120;
    const across = edge + n * step + 4;
    const svg = svgElement("svg", { width: across, height: across, "font-size": 9 }) as SVGSVGElement;
    const add = (...of: Parameters<typeof svgElement>): void => svg.append(svgElement(...of));
    for (let row = 0; row < n; row++) {
      const place = edge + (row + 0.5) * step;
      add("text", { x: edge - 4, y: place + 3, "text-anchor": "end", fill: "var(--ink)" }, name(row));
      add("text", { transform: `translate(${place + 3},${edge - 4}) rotate(-90)`, fill: "var(--ink)" }, name(row));
      for (let column = 0; column < n; column++)
        if (at(row, column) > 0)
          add("rect", { x: edge + column * step, y: edge + row * step, width: step, height: step, fill: "var(--accent)", "fill-opacity": strength(at(row, column)).toFixed(3) });
    }
    return svg;
  };
  const said = cell
    ? `${name(cell[0])} and ${name(cell[1])}: ${fixed(at(cell[0], cell[1]))}`
    : "Point at a cell for the names and their similarity; click to see both side by side.";
  const layers = Array.from({ length: atlas.layers }, (_, each) => each);
  return (
    <>
      <h1>Which circuits are alike</h1>
      <Choice />
      <form class="filter" onSubmit={(event) => event.preventDefault()}>
        <label>
          Layer{" "}
          <select value={layer} onChange={(event) => setLayer(Number(event.currentTarget.value))}>
            <option value={-1}>mean of all</option>
            {layers.map((each) => (
              <option value={each}>{each}</option>
            ))}
          </select>
        </label>
        <label>
          Order{" "}
          <select value={String(byName)} onChange={(event) => setByName(event.currentTarget.value === "true")}>
            <option value="false">dendrogram</option>
            <option value="true">type and name</option>
          </select>
        </label>
        <span class="zoom" role="group" aria-label="Zoom">
          <button type="button" onClick={() => zoom(1 / ZOOM)}>zoom in</button>
          <button type="button" onClick={() => zoom(ZOOM)} disabled={seen.span >= n}>zoom out</button>
          <button type="button" onClick={() => setSeen({ x: 0, y: 0, span: n })} disabled={seen.span >= n}>whole</button>
        </span>
      </form>
      <Frame
        title="Jaccard similarity of every two circuits"
        name="similarity_map"
        keys={(most ? [0, 0.25, 0.5, 0.75, 1] : [0]).map((share) => ({
          words: String(rounded(share * most, 2)), fill: "var(--accent)", stroke: "var(--line)", opacity: shade(share),
        }))}
        drawn={vectors}
        picture={
          <div class="map" ref={frame}>
            <p class="pointed" role="status">{said}</p>
            <canvas
              ref={canvas}
              tabIndex={0}
              role="application"
              aria-roledescription="map"
              aria-label={`Similarity of ${n} concepts. Arrow keys move from cell to cell, plus and minus zoom, Enter opens the two concepts.`}
              width={(margin + side) * ratio}
              height={(margin + side) * ratio}
              style={`width:${margin + side}px;height:${margin + side}px`}
              onMouseMove={(event) => {
                const held = drag.current;
                if (held && event.buttons) {
                  const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
                  held.moved ||= Math.abs(dx) + Math.abs(dy) > 4;
                  if (held.moved) setSeen(inside(held.from.span, held.from.x - dx / size, held.from.y - dy / size));
                  return;
                }
                const next = under(event);
                if (next?.join() !== cell?.join()) setCell(next);
              }}
              onMouseLeave={() => setCell(null)}
              onMouseDown={(event) => (drag.current = { x: event.clientX, y: event.clientY, from: seen, moved: false })}
              onClick={(event) => {
                const pointed = under(event);
                if (pointed && !drag.current?.moved) open(pointed);
                drag.current = null;
              }}
              onDblClick={(event) => event.preventDefault()}
              onKeyDown={key}
            />
          </div>
        }
      >
        {byName ? "In the order of types and names." : "In the order of the leaves of Ward’s dendrogram of 1 − Jaccard over all layers together; concepts without a neuron come last."}{" "}
        The stronger, the more neurons two circuits share. {limit} Zoom with the buttons, with Ctrl and the
        wheel, or with + and −; drag to move. A full map says that circuits are alike, which is
        what a shared core does; it is no evidence that the concepts are alike to the model.
      </Frame>
      <TakeCsv
        caption="the similarity of every two circuits"
        name="similarity"
        columns={["concept", ...order.map((each) => atlas.concepts[each]!)]}
        rows={() =>
          order.map((row) => [atlas.concepts[row]!, ...order.map((column) => rounded(values[row * n + column]!))])
        }
      />
    </>
  );
}
