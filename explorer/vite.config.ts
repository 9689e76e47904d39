import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import preact from "@preact/preset-vite";
import { defineConfig, type Plugin } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

/** Where the built page lies in the package. */
const PACKAGED = "../atlas_assets/stages/report/explorer.html";

/** All that the page is built from, as atlas_assets_tests/stages/report/test_page.py lists it. */
function sources(): string[] {
  const source = readdirSync("src").map((name) => `src/${name}`);
  return [...source, "index.html", "package-lock.json", "package.json", "tsconfig.json",
    "vite.config.ts"].sort();
}

function digest(): string {
  const hash = createHash("sha256");
  for (const name of sources()) hash.update(`${name}\0`).update(readFileSync(name)).update("\0");
  return hash.digest("hex");
}

/** Names the only script that the page runs, and what it was built from; ships the page. */
function sealed(): Plugin {
  return {
    name: "sealed",
    closeBundle() {
      const html = readFileSync("dist/index.html", "utf8");
      const scripts = [...html.matchAll(/<script type="module"[^>]*>([\s\S]*?)<\/script>/g)];
      const [script] = scripts;
      if (scripts.length !== 1 || !script?.[1]) throw new Error("the page must have one script");
      const hash = createHash("sha256").update(script[1]).digest("base64");
      const named = html
        .replace("SCRIPT_HASH", () => `'sha256-${hash}'`)
        .replace("SOURCES_SHA256", digest);
      writeFileSync(PACKAGED, named);
    },
  };
}

export default defineConfig({
  plugins: [preact(), viteSingleFile({ removeViteModuleLoader: true }), sealed()],
  build: { target: "es2022", modulePreload: false, reportCompressedSize: false },
});
