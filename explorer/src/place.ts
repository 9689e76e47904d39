/** Where the reader is: kept in the address after #, so that every view is a link. */

import { useEffect, useState } from "preact/hooks";

export type Place = Record<string, string>;

function read(): Place {
  return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
}

/** The address of a view; the choice of circuits goes along. */
export function link(view: Place, from: Place): string {
  const at = view.at ?? from.at;
  const entries = Object.entries({ ...view, ...(at ? { at } : {}) }).filter(([, value]) => value);
  return `#${new URLSearchParams(entries)}`;
}

/** The same view with something changed; an empty text takes it away. */
export function changed(from: Place, change: Place): string {
  return link({ ...from, ...change, at: change.at ?? from.at ?? "" }, {});
}

export function go(address: string): void {
  location.hash = address;
}

export function usePlace(): Place {
  const [place, setPlace] = useState(read);
  useEffect(() => {
    const follow = (): void => setPlace(read());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return place;
}
