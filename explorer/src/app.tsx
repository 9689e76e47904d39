/** The page: a head with the views, and the view that the address names. */

import { useEffect, useRef } from "preact/hooks";
import { Shown, viewOf } from "./choice";
import { ClaimsPage } from "./claims";
import { ConceptPage } from "./concept";
import { Concepts } from "./concepts";
import type { Atlas } from "./data";
import { DefinitionsPage } from "./definitions";
import { FilesPage } from "./files";
import { Home } from "./home";
import { MapPage } from "./map";
import { NeuronPage } from "./neuron";
import { OtherPage } from "./other";
import { PairPage } from "./pair";
import { link, usePlace, type Place } from "./place";
import { SweepPage } from "./sweep";
import { bare } from "./words";

/** Views in the head, by their name in the address. */
const VIEWS: [string, string][] = [
  ["", "Findings"],
  ["concepts", "Concepts"],
  ["map", "Map"],
  ["sweep", "Sweep"],
  ["definitions", "Definitions"],
  ["claims", "Claims"],
  ["files", "Tables"],
  ["other", "Compare"],
];

function title(place: Place): string {
  if (place.concept) return bare(place.concept);
  if (place.neuron) return `Neuron ${place.neuron}`;
  if (place.pair) return `${bare(place.pair)} and ${bare(place.with ?? "")}`;
  return VIEWS.find(([page]) => page === (place.page ?? ""))?.[1] ?? "Not found";
}

function View({ atlas, place, text }: { atlas: Atlas; place: Place; text: () => string }) {
  if (place.page === "claims") return <ClaimsPage atlas={atlas} />;
  if (place.page === "files") return <FilesPage atlas={atlas} />;
  if (!atlas.definitions.length)
    return (
      <>
        <h1>CSP-Atlas of {atlas.model}</h1>
        <p>
          This atlas has no circuits yet: the masks are not among its files. Build them, and the
          page again; what is there stands under <a href="#page=files">Tables</a> and{" "}
          <a href="#page=claims">Claims</a>.
        </p>
      </>
    );
  if (place.concept) return <ConceptPage key={place.concept} name={place.concept} />;
  if (place.neuron) return <NeuronPage name={place.neuron} />;
  if (place.pair) return <PairPage left={place.pair} right={place.with ?? ""} />;
  if (!place.page) return <Home />;
  if (place.page === "concepts") return <Concepts />;
  if (place.page === "map") return <MapPage />;
  if (place.page === "sweep") return <SweepPage />;
  if (place.page === "definitions") return <DefinitionsPage />;
  if (place.page === "other") return <OtherPage text={text} />;
  return <h1>There is no such view</h1>;
}

export function App({ atlas, text }: { atlas: Atlas; text: () => string }) {
  const place = usePlace();
  const main = useRef<HTMLElement>(null);
  const { at: _, ...view } = place;
  const where = JSON.stringify(view);
  const first = useRef(where);
  useEffect(() => {
    document.title = `${title(place)} · CSP-Atlas of ${atlas.model}`;
    if (first.current === where) return;
    first.current = "";
    // who chose it in the view itself goes on there
    const chosen = document.activeElement;
    if (chosen instanceof HTMLSelectElement && main.current?.contains(chosen)) return;
    // a new view begins at its top, for eyes and for screen readers
    scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [where]);
  const active = place.page ?? (place.concept || place.neuron || place.pair ? "concepts" : "");
  return (
    <Shown.Provider value={viewOf(atlas, place)}>
      <a class="skip" href="#content" onClick={(event) => { event.preventDefault(); main.current?.focus(); }}>
        Skip to the content
      </a>
      <header class="head">
        <p class="name">
          <a href={link({}, place)}>CSP-Atlas</a> <span>{atlas.model}</span>
        </p>
        <nav aria-label="Views">
          <ul>
            {VIEWS.map(([page, words]) => (
              <li>
                <a href={link(page ? { page } : {}, place)} aria-current={page === active ? "page" : undefined}>
                  {words}
                </a>
              </li>
            ))}
          </ul>
        </nav>
      </header>
      <main id="content" ref={main} tabIndex={-1}>
        <View atlas={atlas} place={place} text={text} />
      </main>
      <footer>
        <p>
          After Wilam (2026), <cite>CSP-Atlas: Concept-Specific Neural Circuits in a Sparse Python
          Transformer</cite>, arXiv:2605.24603. This page holds its data and loads nothing.
        </p>
      </footer>
    </Shown.Provider>
  );
}
