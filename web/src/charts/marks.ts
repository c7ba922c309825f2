import type { Severity } from "@/lib/severity";
import { severityLook } from "@/lib/severity";

const shapes: Record<string, (r: number) => string> = {
  circle: (r) => `M0 ${-r}a${r} ${r} 0 1 0 0 ${2 * r}a${r} ${r} 0 1 0 0 ${-2 * r}z`,
  triangle: (r) => `M0 ${-r * 1.1} ${r * 1.1} ${r * 0.85}H${-r * 1.1}z`,
  diamond: (r) => `M0 ${-r * 1.25} ${r * 1.25} 0 0 ${r * 1.25} ${-r * 1.25} 0z`,
  square: (r) => `M${-r} ${-r}H${r}V${r}H${-r}z`,
};

/** The outline of a severity's mark around 0,0: a shape of its own for each. */
export const markPath = (s: Severity, r: number) => shapes[severityLook[s].mark]?.(r) ?? "";
