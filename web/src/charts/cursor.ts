/** The cursor of a chart: the place it stands at, and where a selection began. */
export type Cursor = { at?: number; anchor?: number; moved?: boolean };

export type CursorAction =
  | { type: "move"; to: number }
  | { type: "press"; at: number }
  | { type: "release" }
  | { type: "leave" }
  | { type: "step"; by: number; count: number; select: boolean }
  | { type: "clear" };

/** How pointer and keys move the cursor. It is pure: what a release or Enter
 * means is told by `picked`. */
export function cursor(state: Cursor, action: CursorAction): Cursor {
  switch (action.type) {
    case "move":
      return {
        ...state,
        at: action.to,
        moved: state.moved || (state.anchor !== undefined && state.anchor !== action.to),
      };
    case "press":
      return { at: action.at, anchor: action.at, moved: false };
    case "release":
      return { at: state.at };
    case "leave":
      // A selection is held also outside of the chart, until it is released.
      return state.anchor === undefined ? {} : state;
    case "step": {
      const last = action.count - 1;
      const from = state.at ?? (action.by > 0 ? -1 : action.count);
      const at = Math.min(last, Math.max(0, from + action.by));
      if (!action.select) return { at };
      return { at, anchor: state.anchor ?? state.at ?? at, moved: true };
    }
    case "clear":
      return {};
  }
}

/** The places of a selection, in order; of a cursor without one, its own place. */
export function selection(state: Cursor): [number, number] | undefined {
  if (state.at === undefined) return undefined;
  const other = state.anchor !== undefined && state.moved ? state.anchor : state.at;
  return [Math.min(state.at, other), Math.max(state.at, other)];
}
