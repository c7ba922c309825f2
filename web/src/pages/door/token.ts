/** The token of a link stands behind the #: it is in no log of a server or a
 * proxy. Once read it is taken out of the address bar and the history. */
let read: string | undefined;

// A link that is pasted over the page that asked for it changes only what stands
// behind the #, which no browser takes for a new page.
window.addEventListener("hashchange", () => {
  if (window.location.hash.includes("token=")) window.location.reload();
});

export function tokenOfLink(): string {
  const token = new URLSearchParams(window.location.hash.slice(1)).get("token");
  if (token) {
    read = token;
    window.history.replaceState(window.history.state, "", window.location.pathname);
  }
  return read ?? "";
}
