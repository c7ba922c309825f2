/** Where to go after signing in: the page that was asked for, if it is one of ours. */
export function pageAfter(to: unknown): string {
  return typeof to === "string" && /^\/(?![/\\])/.test(to) && !to.startsWith("/sign-in") ? to : "/";
}

/** Goes there with everything loaded anew, so that nothing of another session is left. */
export const enter = (to?: unknown) => window.location.replace(pageAfter(to));
