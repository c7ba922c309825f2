// A test that failed says what its pages showed.
import { afterEach } from "vitest";
import { shown } from "./browser";

afterEach(async ({ task }) => {
  if (task.result?.state === "fail") console.error(await shown());
});
