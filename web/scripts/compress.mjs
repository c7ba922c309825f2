// Writes a .br and a .gz beside every built text file, and says how much the
// first load weighs, so that a change that makes it heavy is seen.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const dist = new URL("../../internal/web/dist/", import.meta.url).pathname;
const limit = 450 * 1024; // bytes of the first load, gzip

function* files(dir) {
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else yield path;
  }
}

const gzip = new Map();
for (const path of files(dist)) {
  if (!/\.(js|css|svg|json)$/.test(path)) continue;
  const text = readFileSync(path);
  const gz = gzipSync(text, { level: 9 });
  gzip.set(path.slice(dist.length), gz.length);
  writeFileSync(`${path}.gz`, gz);
  writeFileSync(`${path}.br`, brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
}
const html = readFileSync(join(dist, "index.html"), "utf8");
const first = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((m) => m[1]);
const total = first.reduce((sum, path) => sum + (gzip.get(path) ?? 0), 0);
console.log(`first load: ${(total / 1024).toFixed(0)} KB gzip of ${limit / 1024} KB`);
if (total > limit) {
  console.error("the first load is too heavy: move pages into chunks of their own");
  process.exit(1);
}
