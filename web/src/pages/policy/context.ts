import { createContext, useContext } from "react";
import { type Faults, faultAt } from "@/lib/faults";
import type { Draft } from "./draft";

/** The policy while it is edited, for the parts of its page. */
export type Edit = {
  draft: Draft;
  update: (change: (draft: Draft) => Draft) => void;
  faults: Faults;
  readOnly: boolean;
};

export const EditContext = createContext<Edit | null>(null);

export function useEdit() {
  const edit = useContext(EditContext);
  if (!edit) throw new Error("useEdit needs the policy page around it");
  return { ...edit, fault: (place: string) => faultAt(edit.faults, place) };
}
