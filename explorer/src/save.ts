/** Files that a reader takes away: tables as CSV, pictures as SVG and PNG, the atlas as JSON. */

import type { Cell } from "./data";

export function save(name: string, content: BlobPart, type: string): void {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(new Blob([content], { type }));
  anchor.download = name.replace(/[^\w.-]+/g, "_");
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
}

/** A cell of CSV; what a spreadsheet would take for a formula begins with an apostrophe. */
function quoted(cell: Cell): string {
  if (typeof cell !== "string") return cell === null ? "" : String(cell);
  const text = /^[=+\-@\t\r]/.test(cell) && !/^[+-]?[\d.]+$/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(columns: string[], rows: Cell[][]): string {
  return [columns, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
}

export function saveCsv(name: string, columns: string[], rows: Cell[][]): void {
  save(`${name}.csv`, csv(columns, rows), "text/csv");
}

/** A colour that stands for something in a picture. */
export interface Key {
  words: string;
  fill: string;
  stroke?: string;
  opacity?: number;
}

export interface Picture {
  name: string;
  title: string;
  keys: Key[];
  svg: SVGSVGElement;
}

type Attributes = Record<string, string | number>;

export function svgElement(tag: string, attributes: Attributes, text = ""): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.textContent = text;
  return element;
}

const VARIABLE = /var\((--[\w-]+)\)/g;
/** About how wide a character is. */
const CHARACTER = 7;

/** A picture that stands alone: with its title and its legend, colours as they are now. */
export function standalone({ title, keys, svg }: Picture): SVGElement {
  const [across, down] = ["width", "height"].map((side) => Number(svg.getAttribute(side))) as [number, number];
  const head = [svgElement("text", { y: 16, "font-size": 15, "font-weight": 600 }, title)];
  let [x, y] = [0, 40];
  for (const { words, fill, stroke = "none", opacity = 1 } of keys) {
    const room = 34 + CHARACTER * words.length;
    if (x && x + room > across) [x, y] = [0, y + 18];
    head.push(
      svgElement("rect", { x, y: y - 10, width: 11, height: 11, fill, stroke, "fill-opacity": opacity }),
      svgElement("text", { x: x + 17, y }, words),
    );
    x += room;
  }
  const top = keys.length ? y + 14 : 28;
  const width = Math.max(across, 1.3 * CHARACTER * title.length);
  const height = top + down;
  const whole = svgElement("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "font-size": 12 });
  const drawn = svgElement("g", {});
  for (const { name, value } of svg.attributes)
    if (!["width", "height", "viewBox"].includes(name)) drawn.setAttribute(name, value);
  drawn.setAttribute("transform", `translate(0,${top})`);
  drawn.append(...svg.cloneNode(true).childNodes);
  whole.append(svgElement("rect", { width, height, fill: "var(--ground)" }), ...head, drawn);
  whole.setAttribute("font-family", "system-ui, sans-serif");
  whole.setAttribute("fill", "var(--ink)");
  whole.setAttribute("color", "var(--ink)");
  const style = getComputedStyle(document.documentElement);
  const colour = (_: string, name: string): string => style.getPropertyValue(name).trim();
  for (const element of [whole, ...whole.querySelectorAll("*")])
    for (const attribute of [...element.attributes])
      if (attribute.value.includes("var("))
        element.setAttribute(attribute.name, attribute.value.replace(VARIABLE, colour));
  for (const sheet of whole.querySelectorAll("style"))
    sheet.textContent = (sheet.textContent ?? "").replace(VARIABLE, colour);
  return whole;
}

const text = (svg: SVGElement): string => new XMLSerializer().serializeToString(svg);

export function saveSvg(picture: Picture): void {
  save(`${picture.name}.svg`, text(standalone(picture)), "image/svg+xml");
}

export function savePng(picture: Picture): void {
  const whole = standalone(picture);
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = ["width", "height"].map((side) => 2 * Number(whole.getAttribute(side))) as [number, number];
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => blob && save(`${picture.name}.png`, blob, "image/png"));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text(whole))}`;
}
