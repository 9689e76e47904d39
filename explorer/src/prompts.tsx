/** A few prompts of a concept, with the places that are read marked. */

import type { ComponentChildren } from "preact";
import { readoutOf } from "./data";
import { useView } from "./choice";
import { TakeCsv } from "./table";
import { bare } from "./words";

/** Where the last word or sign before a place begins. */
function begin(text: string, end: number): number {
  const found = /(?:[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]+|\s+)$/u.exec(text.slice(0, end));
  return found ? found.index : Math.max(0, end - 1);
}

function Prompt({ text, end, last }: { text: string; end: number | null; last: boolean }) {
  const marks = [
    ...(end !== null && end <= text.length ? [{ end, kind: "concept-end" }] : []),
    ...(last ? [{ end: text.length, kind: "read" }] : []),
  ];
  const parts: ComponentChildren[] = [];
  let at = 0;
  for (const mark of marks) {
    const start = Math.max(at, begin(text, mark.end));
    parts.push(text.slice(at, start));
    if (start < mark.end || mark.kind === "read")
      parts.push(<mark class={mark.kind}>{text.slice(start, mark.end)}</mark>);
    at = Math.max(at, mark.end);
  }
  parts.push(text.slice(at));
  return (
    <pre tabIndex={0}>
      <code>{parts}</code>
    </pre>
  );
}

function pairName(pair: string): string {
  const [first, ...rest] = pair.replace(/^own__/, "").split("__");
  return `${first} with ${rest.join("__")}`;
}

/** What the marks in prompts mean. */
export function ReadMarks() {
  const { atlas } = useView();
  if (!atlas.prompts) return null;
  const { last } = readoutOf(atlas);
  return (
    <p>
      {last ? (
        <>
          Published circuits are read at the <mark class="read">last token</mark> of a prompt, of
          which the mark shows the last word or sign
        </>
      ) : (
        <>This atlas reads the padded position of the release, which is no fixed place</>
      )}
      {atlas.own ? (
        "."
      ) : (
        <>
          ; calibrated ones where <mark class="concept-end">the concept ends</mark>. Many prompts
          end in padding lines, so what is read last need not be the concept.
        </>
      )}
    </p>
  );
}

export function Prompts({ concept }: { concept: string }) {
  const { atlas } = useView();
  const prompts = atlas.prompts;
  if (!prompts) return <p class="note">The prompts are not among the files of this atlas.</p>;
  const shown = Object.hasOwn(prompts.of, concept) ? prompts.of[concept]! : [];
  const checkers = prompts.checkers;
  const checked = checkers && Object.hasOwn(checkers, concept) ? checkers[concept]! : [];
  const { last } = readoutOf(atlas);
  return (
    <>
      <div class="prompts">
        {shown.map(([text, pair, end]) => (
          <div>
            <h3 class="prompt">{pairName(pair)}</h3>
            <Prompt text={prompts.texts[text] ?? ""} end={end} last={last} />
          </div>
        ))}
      </div>
      {checked.length > 0 && (
        <>
          <h3 class="prompt">Checker prompts: {bare(concept)} is named, not used</h3>
          <div class="prompts">
            {checked.map((text) => (
              <Prompt text={prompts.texts[text] ?? ""} end={null} last={last} />
            ))}
          </div>
        </>
      )}
      <TakeCsv
        caption={`the prompts of ${bare(concept)}`}
        name={`prompts_${concept}`}
        columns={["pair", "prompt", "characters before the end of the concept"]}
        rows={() => [
          ...shown.map(([text, pair, end]) => [pair, prompts.texts[text] ?? "", end]),
          ...checked.map((text) => ["checker", prompts.texts[text] ?? "", null]),
        ]}
      />
    </>
  );
}
