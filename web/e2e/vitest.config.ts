import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// The built binary in a real browser. One file after the other, in the order
// of their names: they share one instance's life from its first start on.
export default defineConfig({
  cacheDir: fileURLToPath(new URL("../node_modules/.vite-e2e", import.meta.url)),
  test: {
    root: fileURLToPath(new URL(".", import.meta.url)),
    include: ["**/*.e2e.ts"],
    environment: "node",
    fileParallelism: false,
    maxWorkers: 1,
    isolate: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    bail: process.env.CI ? 0 : 1,
  },
});
