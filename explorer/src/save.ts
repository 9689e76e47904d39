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

const VARIABLE = /var\((--[\w-]+)\)/g;

/** A picture that stands alone: colours as they are now, on the page's own ground. */
export function standalone(svg: SVGSVGElement): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const style = getComputedStyle(document.documentElement);
  const colour = (_: string, name: string): string => style.getPropertyValue(name).trim();
  for (const element of [copy, ...copy.querySelectorAll("*")])
    for (const attribute of [...element.attributes])
      if (attribute.value.includes("var("))
        element.setAttribute(attribute.name, attribute.value.replace(VARIABLE, colour));
  for (const sheet of copy.querySelectorAll("style"))
    sheet.textContent = (sheet.textContent ?? "").replace(VARIABLE, colour);
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  ground.setAttribute("width", "100%");
  ground.setAttribute("height", "100%");
  ground.setAttribute("fill", colour("", "--ground"));
  copy.insertBefore(ground, copy.firstChild);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("font-family", "system-ui, sans-serif");
  copy.setAttribute("color", colour("", "--ink"));
  return new XMLSerializer().serializeToString(copy);
}

export function saveSvg(name: string, svg: SVGSVGElement): void {
  save(`${name}.svg`, standalone(svg), "image/svg+xml");
}

export function savePng(name: string, svg: SVGSVGElement): void {
  const [width, height] = ["width", "height"].map((side) => Number(svg.getAttribute(side)));
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [2 * width!, 2 * height!];
    const context = canvas.getContext("2d");
    context?.drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => blob && save(`${name}.png`, blob, "image/png"));
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
}
