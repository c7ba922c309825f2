import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// The built binary in a real browser. Each file has an instance and a browser of
// its own; two at a time, since they mostly wait.
export default defineConfig({
  cacheDir: fileURLToPath(new URL("../node_modules/.vite-e2e", import.meta.url)),
  test: {
    root: fileURLToPath(new URL(".", import.meta.url)),
    include: ["**/*.e2e.ts"],
    setupFiles: ["failed.ts"],
    environment: "node",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    bail: process.env.CI ? 0 : 1,
  },
});
