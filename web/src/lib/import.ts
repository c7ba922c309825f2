import type { Schemas } from "@/api/client";
import { parseAddress } from "./address";

export type NewBlock = Schemas["NewBlockBody"];

/** A line of an import that cannot be taken. */
export type LineFault = { line: number; text: string; message: string };

/** What an import would send, with the line that each entry came from. */
export type ImportPlan = { entries: NewBlock[]; lines: number[]; faults: LineFault[]; skipped: number };

const units: Record<string, number> = { s: 1, m: 60, min: 60, h: 3600, d: 86400, w: 604800 };

/** "3600", "1h", "7d", "permanent" in seconds; undefined if it is none of them. */
export function parseDuration(text: string): number | undefined {
  const t = text.trim().toLowerCase();
  if (t === "" || t === "permanent" || t === "forever" || t === "0") return 0;
  const m = /^(\d{1,9})\s*(s|m|min|h|d|w)?$/.exec(t);
  return m ? Number(m[1]) * (units[m[2] ?? "s"] as number) : undefined;
}

/** Splits a line of comma-separated values, with quotes as in RFC 4180. */
export function splitCSV(line: string): string[] {
  const cells: string[] = [];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < line.length; i++) {
    const c = line[i] as string;
    if (quoted) {
      if (c === '"' && line[i + 1] === '"') {
        cell += '"';
        i++;
      } else if (c === '"') quoted = false;
      else cell += c;
    } else if (c === '"' && cell.trim() === "") {
      cell = "";
      quoted = true;
    } else if (c === "," || c === ";" || c === "\t") {
      cells.push(cell.trim());
      cell = "";
    } else cell += c;
  }
  cells.push(cell.trim());
  return cells;
}

// The guard against spreadsheet formulas that exports put in front of a text.
const plain = (text: string) => text.replace(/^'(?=[=+\-@\t\r'])/, "");

/**
 * Reads a list to be blocked: an address or prefix a line, or CSV (address,
 * reason, duration; with a header in any order, so that an export can be taken
 * back), or NDJSON. Comments begin with # or ;. A line that cannot be taken is
 * named with its number; it harms no other.
 */
export function readImport(text: string, reason = "", seconds = 0): ImportPlan {
  const plan: ImportPlan = { entries: [], lines: [], faults: [], skipped: 0 };
  const seen = new Map<string, number>();
  let columns: string[] | undefined;
  text
    .replace(/^\uFEFF/, "")
    .split(/\r\n|\n|\r/)
    .forEach((raw, i) => {
      const line = i + 1;
      const t = raw.trim();
      const fault = (message: string) => plan.faults.push({ line, text: t.slice(0, 80), message });
      if (t === "" || t.startsWith("#") || t.startsWith(";")) return;
      let entry: NewBlock;
      if (t.startsWith("{")) {
        try {
          const o = JSON.parse(t) as Record<string, unknown>;
          if (typeof o.state === "string" && o.state !== "active") {
            plan.skipped++;
            return;
          }
          entry = {
            ip: String(o.ip ?? ""),
            reason: String(o.reason ?? ""),
            duration: Number(o.duration ?? seconds),
          };
        } catch {
          fault("is not a JSON object");
          return;
        }
      } else {
        const cells = splitCSV(t.replace(/\s+[#;].*$/, ""));
        if (!columns && cells.some((c) => /^(ip|address|prefix|cidr)$/i.test(c))) {
          columns = cells.map((c) => c.toLowerCase().replace(/^(address|prefix|cidr)$/, "ip"));
          return;
        }
        const named = (name: string, at: number) => plain(cells[columns ? columns.indexOf(name) : at] ?? "");
        const state = columns ? named("state", -1) : "";
        if (state !== "" && state !== "active") {
          plan.skipped++;
          return;
        }
        const written = named("duration", 2);
        const lasts = written === "" ? seconds : parseDuration(written);
        if (lasts === undefined) {
          fault(
            `has no duration that can be read: "${written.slice(0, 40)}"; write seconds, 1h, 7d or permanent`,
          );
          return;
        }
        // "203.0.113.7 some words" is an address and a reason, too.
        let ip = named("ip", 0);
        let why = named("reason", 1);
        const space = ip.indexOf(" ");
        if (space > 0) {
          why = why || ip.slice(space + 1).trim();
          ip = ip.slice(0, space);
        }
        entry = { ip, reason: why, duration: lasts };
      }
      if (entry.ip === "") {
        fault("names no address");
        return;
      }
      if (!parseAddress(entry.ip)) {
        fault(`"${entry.ip.slice(0, 60)}" is no address and no prefix`);
        return;
      }
      if (!Number.isFinite(entry.duration) || (entry.duration ?? 0) < 0) {
        fault("has no duration that can be read");
        return;
      }
      const before = seen.get(entry.ip);
      if (before !== undefined) {
        fault(`repeats ${entry.ip} of line ${before}`);
        return;
      }
      seen.set(entry.ip, line);
      entry.reason = entry.reason || reason;
      plan.entries.push(entry);
      plan.lines.push(line);
    });
  return plan;
}
