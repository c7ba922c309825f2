/** The severities in rising order, with how each is drawn so that colour is never the only sign. */
export const severities = ["info", "warning", "high", "critical"] as const;
export type Severity = (typeof severities)[number];

export const severityLook: Record<Severity, { label: string; dash: string; width: number; mark: string }> = {
  info: { label: "Info", dash: "", width: 1.75, mark: "circle" },
  warning: { label: "Warning", dash: "6 3", width: 1.75, mark: "triangle" },
  high: { label: "High", dash: "2 2", width: 2, mark: "diamond" },
  critical: { label: "Critical", dash: "", width: 3, mark: "square" },
};

export const severityColor = (s: string) => `var(--severity-${s})`;
export const severityTextColor = (s: string) => `var(--severity-${s}-text)`;
