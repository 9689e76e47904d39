/** The paper’s claims: what holds of this atlas, what does not, what is not applicable. */

import { useState } from "preact/hooks";
import type { Atlas } from "./data";
import { DataTable } from "./table";

const SIGNS: Record<string, string> = { holds: "✓", "does not hold": "✗", "not applicable": "–" };

export function ClaimsPage({ atlas }: { atlas: Atlas }) {
  const [only, setOnly] = useState("all");
  if (!atlas.claims.length || atlas.own)
    return (
      <>
        <h1>The paper’s claims</h1>
        <p>
          {atlas.own
            ? "Not applicable: they are about the paper’s own prompts, and this atlas is of others."
            : "No claim was evaluated."}
        </p>
      </>
    );
  const counts = new Map<string, number>();
  for (const claim of atlas.claims)
    counts.set(claim.as_in_paper, (counts.get(claim.as_in_paper) ?? 0) + 1);
  const counted = Object.keys(SIGNS).map((verdict) => counts.get(verdict) ?? 0);
  const claimed = atlas.claims.some((claim) => claim.verdict === "holds" || claim.verdict === "broken");
  const rows = atlas.claims.filter((claim) => only === "all" || claim.as_in_paper === only);
  return (
    <>
      <h1>The paper’s claims</h1>
      <p>
        What Wilam (2026), CSP-Atlas, arXiv:2605.24603, states of the paper’s model, and what this
        atlas shows, computed the same way.{" "}
        {claimed
          ? "This is the atlas that the paper speaks of."
          : "The paper does not speak of this atlas: that a claim does not hold here is an observation about another model, readout or part of the grid, and no failure."}
        {!claimed && ` ${counted[0]} of ${atlas.claims.length} claims hold as in the paper, ${counted[1]} do not, and ${counted[2]} are not applicable.`}
      </p>
      <fieldset class="group filter">
        <legend>show</legend>
        {["all", ...Object.keys(SIGNS).filter((verdict) => counts.has(verdict))].map((verdict) => (
          <label>
            <input type="radio" name="verdict" checked={verdict === only} onChange={() => setOnly(verdict)} />
            <span>
              {SIGNS[verdict] ?? ""} {verdict} ({counts.get(verdict) ?? atlas.claims.length})
            </span>
          </label>
        ))}
      </fieldset>
      <DataTable
        caption="Claims, expected and observed"
        name="claims"
        rows={rows}
        columns={[
          { label: "claim", value: (claim) => claim.statement, show: (claim) => <span title={claim.id}>{claim.statement}</span> },
          { label: "where", value: (claim) => claim.section },
          { label: "setting", value: (claim) => claim.setting || null },
          { label: "paper", value: (claim) => claim.expected },
          { label: "here", value: (claim) => claim.observed || null },
          {
            label: "verdict",
            value: (claim) => claim.as_in_paper,
            show: (claim) => (
              <span class={`verdict ${claim.as_in_paper.replaceAll(" ", "-")}`}>
                <span aria-hidden="true">{SIGNS[claim.as_in_paper]}</span> {claim.as_in_paper}
                {claim.note !== null && <sup>{claim.note + 1}</sup>}
              </span>
            ),
          },
        ]}
      />
      {atlas.notes.length > 0 && (
        <ol class="note">
          {atlas.notes.map((note) => (
            <li>{note}</li>
          ))}
        </ol>
      )}
    </>
  );
}
