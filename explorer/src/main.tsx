import { render } from "preact";
import { App } from "./app";
import { readAtlas } from "./data";
import "./style.css";

const holder = document.getElementById("atlas");
const page = document.getElementById("page");
const text = (): string => holder?.textContent ?? "";
if (page) {
  page.replaceChildren();
  render(<App atlas={readAtlas(text())} text={text} />, page);
}
