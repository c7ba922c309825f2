/// <reference types="vitest/config" />
import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The dashboard is built into the Go package that embeds it. During
// development `npm run dev` serves the pages and passes the API's paths on to
// WARDER_URL; with WARDER_KEY (an API key) nobody has to sign in.
const warder = process.env.WARDER_URL ?? "http://127.0.0.1:8420";
const key = process.env.WARDER_KEY;
const target = { target: warder, headers: key ? { Authorization: `Bearer ${key}` } : {} };

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    outDir: "../internal/web/dist",
    emptyOutDir: true,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1100,
    rolldownOptions: {
      output: {
        // Everything that the first page needs is one file. Cut by who else uses
        // what, it was fifty-six, and over HTTP/1.1 a browser asks for six at a
        // time.
        codeSplitting: { groups: [{ name: "first", tags: ["$initial"] }] },
      },
    },
  },
  server: {
    proxy: Object.fromEntries(["/v1", "/openapi.json", "/readyz", "/healthz"].map((path) => [path, target])),
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.{ts,tsx}"] },
});
