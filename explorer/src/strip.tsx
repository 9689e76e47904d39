/** Neurons per layer as a strip: a row per layer, a mark per neuron. */

import { useRef, useState } from "preact/hooks";
import { Frame, useWidth } from "./figure";
import { go, link, type Place } from "./place";
import { several } from "./words";

/** The look of a mark; a shade from 0 to 1 makes it fainter. */
export interface Mark {
  neuron: number;
  kind: "only" | "both" | "other" | "held";
  shade?: number;
}

const KEY: Record<Mark["kind"], { fill: string; stroke?: string }> = {
  only: { fill: "var(--accent)" },
  both: { fill: "var(--mid)" },
  other: { fill: "none", stroke: "var(--mid)" },
  held: { fill: "var(--accent)" },
};

interface Properties {
  title: string;
  name: string;
  alt: string;
  layers: number;
  width: number;
  marks: Mark[];
  legend: { kind: Mark["kind"]; words: string }[];
  /** What is said of a neuron that the pointer is on. */
  say: (neuron: number) => string;
  place: Place;
  children?: preact.ComponentChildren;
}

const LEFT = 40;
const RIGHT = 34;

export function Strip(properties: Properties) {
  const { layers, width: neurons, marks } = properties;
  const [frame, width] = useWidth();
  const svg = useRef<SVGSVGElement>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const row = 24;
  const height = layers * row + 22;
  const across = Math.max(1, width - LEFT - RIGHT);
  const step = across / neurons;
  const bar = Math.max(step * 0.78, 1);
  const found = new Map(marks.map((mark) => [mark.neuron, mark]));
  const perLayer = new Array<number>(layers).fill(0);
  for (const mark of marks)
    if (mark.kind !== "other") perLayer[Math.floor(mark.neuron / neurons)]!++;
  const x = (neuron: number): number => LEFT + (neuron % neurons) * step;
  const y = (neuron: number): number => Math.floor(neuron / neurons) * row;

  /** The marked neuron under the pointer, or the nearest within a finger’s width. */
  const under = (event: MouseEvent): number | null => {
    const box = svg.current?.getBoundingClientRect();
    if (!box) return null;
    const layer = Math.floor((event.clientY - box.top) / row);
    const at = Math.floor((event.clientX - box.left - LEFT) / step);
    if (layer < 0 || layer >= layers) return null;
    const reach = Math.ceil(8 / step);
    for (let away = 0; away <= reach; away++)
      for (const near of [at - away, at + away])
        if (near >= 0 && near < neurons && found.has(layer * neurons + near))
          return layer * neurons + near;
    return null;
  };
  const open = (event: MouseEvent): void => {
    const neuron = under(event);
    if (neuron !== null)
      go(link({ neuron: `${Math.floor(neuron / neurons)}.${neuron % neurons}` }, properties.place));
  };
  const picture = (
    <div class="strip">
      <div class="plot" ref={frame}>
        {width > 0 && (
          <svg
            ref={svg}
            role="img"
            aria-label={properties.alt}
            width={width}
            height={height}
            viewBox={`0 0 ${width} ${height}`}
            font-size="12"
            onMouseMove={(event) => setPointed(under(event))}
            onMouseLeave={() => setPointed(null)}
            onClick={open}
            style={pointed === null ? "" : "cursor: pointer"}
          >
            {Array.from({ length: layers }, (_, layer) => (
              <g>
                <text x={LEFT - 8} y={layer * row + 14} text-anchor="end" fill="var(--soft)">
                  {layer}
                </text>
                <rect
                  x={LEFT}
                  y={layer * row}
                  width={across}
                  height={row - 5}
                  fill="var(--faint)"
                />
                <text x={width} y={layer * row + 14} text-anchor="end" fill="var(--soft)">
                  {perLayer[layer]}
                </text>
              </g>
            ))}
            {marks.map(({ neuron, kind, shade }) => (
              <rect
                x={x(neuron) + (step - bar) / 2}
                y={y(neuron) + (kind === "other" ? 0.5 : 0)}
                width={kind === "other" ? Math.max(bar - 1, 0.6) : bar}
                height={row - 5 - (kind === "other" ? 1 : 0)}
                fill={KEY[kind].fill}
                stroke={KEY[kind].stroke}
                fill-opacity={shade}
              />
            ))}
            {pointed !== null && (
              <rect
                x={x(pointed) - 1.5}
                y={y(pointed) - 1.5}
                width={step + 3}
                height={row - 2}
                fill="none"
                stroke="var(--ink)"
                stroke-width="1.5"
              />
            )}
            <text x={LEFT} y={height - 4} fill="var(--soft)">
              neuron 0
            </text>
            <text x={LEFT + across} y={height - 4} text-anchor="end" fill="var(--soft)">
              {neurons - 1}
            </text>
            <text x={LEFT - 8} y={height - 4} text-anchor="end" fill="var(--soft)" font-size="10">
              layer
            </text>
          </svg>
        )}
      </div>
      <p class="pointed" aria-hidden="true">
        {pointed === null
          ? `${several(marks.length, "neuron")} shown; point at one, click to open its page.`
          : properties.say(pointed)}
      </p>
    </div>
  );
  return (
    <Frame
      title={properties.title}
      name={properties.name}
      keys={properties.legend.map(({ kind, words }) => ({ words, ...KEY[kind] }))}
      drawn={() => svg.current}
      picture={picture}
    >
      {properties.children}
    </Frame>
  );
}
