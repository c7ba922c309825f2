/** The entries of a list that is written one in each line, or with commas. */
export const lines = (text: string) =>
  text
    .split(/[\n,]+/)
    .map((l) => l.trim())
    .filter((l) => l !== "");
