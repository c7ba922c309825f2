import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";

/** The schemas of the API's OpenAPI document, by name. */
export type Schemas = components["schemas"];

/** One fault of a request: where it is and what to do about it. */
export type Fault = { location?: string; message?: string; value?: unknown };

/** An error answer of the API (RFC 9457), or a failure to reach it. */
export class Problem extends Error {
  readonly status: number; // 0: Warder could not be reached
  readonly title: string;
  readonly faults: Fault[];
  readonly retryAfter: number; // seconds, 0: not said
  readonly body: Record<string, unknown>;

  constructor(status: number, body: Record<string, unknown>, retryAfter = 0) {
    const title = String(body.title ?? "Request failed");
    super(String(body.detail ?? title));
    this.name = "Problem";
    this.status = status;
    this.title = title;
    this.faults = Array.isArray(body.errors) ? (body.errors as Fault[]) : [];
    this.retryAfter = retryAfter;
    this.body = body;
  }
}

/** Somebody thought better of it: nothing failed, and nothing is said. */
export class Declined extends Error {
  constructor() {
    super("Nothing was changed.");
    this.name = "Declined";
  }
}

/** Called when a call is answered 401: the session has ended. */
let onSignedOut: () => void = () => {};
export function whenSignedOut(f: () => void) {
  onSignedOut = f;
}

const problems: Middleware = {
  async onResponse({ response, schemaPath }) {
    if (response.ok) return response;
    let body: Record<string, unknown> = {};
    try {
      body = await response.clone().json();
    } catch {
      body = { title: response.statusText || `HTTP ${response.status}` };
    }
    if (response.status === 401 && !schemaPath.startsWith("/v1/session")) onSignedOut();
    throw new Problem(response.status, body, Number(response.headers.get("Retry-After") ?? 0));
  },
  onError() {
    return new Problem(0, {
      title: "Warder cannot be reached",
      detail: "No answer from Warder. The page tries again by itself.",
    });
  },
};

/** The typed client of Warder's public API. Error answers are thrown as Problem. */
export const api = createClient<paths>({
  baseUrl: "/",
  // Lists in a query are separated by commas: severity=high,critical.
  querySerializer: { array: { style: "form", explode: false } },
});
api.use(problems);

/** Takes the data out of an answer; errors were thrown before. */
export async function data<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}
