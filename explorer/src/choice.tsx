/** Which circuits are looked at: a definition and, of the published one, a setting. */

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { circuitsOf, keywordsOf, type Circuits, type Keywords } from "./circuits";
import type { Atlas, Definition } from "./data";
import { changed, go, link, type Place } from "./place";
import { bare, definitionName, kindOf, MEANING } from "./words";

export interface View {
  atlas: Atlas;
  place: Place;
  definition: Definition;
  circuits: Circuits;
  keywords: Keywords | null;
}

export const Shown = createContext<View | null>(null);

export function useView(): View {
  const view = useContext(Shown);
  if (!view) throw new Error("no atlas is shown");
  return view;
}

/** The view of a place: the definition that its address names, or the first. */
export function viewOf(atlas: Atlas, place: Place): View | null {
  const definition = atlas.definitions.find((each) => each.key === place.at) ?? atlas.definitions[0];
  if (!definition) return null;
  return {
    atlas,
    place,
    definition,
    circuits: circuitsOf(atlas, definition),
    keywords: keywordsOf(atlas, definition),
  };
}

export function Concept({ name }: { name: string }) {
  const { place } = useView();
  return (
    <a class={`concept ${kindOf(name)}`} href={link({ concept: name }, place)}>
      {bare(name)}
    </a>
  );
}

function Group<Value extends string | number>(properties: {
  label: string;
  name: string;
  values: Value[];
  chosen: Value | undefined;
  choose: (value: Value) => void;
}) {
  const { label, name, values, chosen, choose } = properties;
  return (
    <fieldset class="group">
      <legend>{label}</legend>
      {values.map((value) => (
        <label>
          <input
            type="radio"
            name={name}
            checked={value === chosen}
            onChange={() => choose(value)}
          />
          <span>{value}</span>
        </label>
      ))}
    </fieldset>
  );
}

const each = <Value,>(values: Value[]): Value[] => [...new Set(values)];

export function Choice() {
  const { atlas, place, definition } = useView();
  const choose = (wanted: (each: Definition) => boolean): void => {
    const found = atlas.definitions.find(wanted);
    if (found) go(changed(place, { at: found.key }));
  };
  const settings = atlas.definitions.filter(
    (one) => one.name === definition.name && one.epsilon !== undefined,
  );
  const numbers = (values: (number | undefined)[]): number[] =>
    each(values.filter((value) => value !== undefined)).sort((a, b) => a - b);
  const names = each(atlas.definitions.map((one) => one.name));
  return (
    <form class="choice" aria-label="Which circuits" onSubmit={(event) => event.preventDefault()}>
      <Group
        label="circuits"
        name="definition"
        values={names}
        chosen={definition.name}
        choose={(name) => choose((one) => one.name === name)}
      />
      {settings.length > 1 && (
        <>
          <Group
            label="ε"
            name="epsilon"
            values={numbers(settings.map((one) => one.epsilon))}
            chosen={definition.epsilon}
            choose={(epsilon) =>
              choose(
                (one) =>
                  one.name === definition.name &&
                  one.epsilon === epsilon &&
                  one.consistency === definition.consistency,
              )
            }
          />
          <Group
            label="C"
            name="consistency"
            values={numbers(settings.map((one) => one.consistency))}
            chosen={definition.consistency}
            choose={(consistency) =>
              choose(
                (one) =>
                  one.name === definition.name &&
                  one.epsilon === definition.epsilon &&
                  one.consistency === consistency,
              )
            }
          />
        </>
      )}
      <p class="meaning" role="status">
        <strong>{definitionName(definition)}</strong>
        {MEANING[definition.name] ? `: ${MEANING[definition.name]}.` : "."}
      </p>
    </form>
  );
}
