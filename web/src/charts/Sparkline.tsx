/** A small line without axes, beside a figure that says the same in words. */
export function Sparkline(props: { values: number[]; color?: string; width?: number; height?: number }) {
  const { values, width = 96, height = 28, color = "var(--mantine-primary-color-filled)" } = props;
  if (values.length < 2) return null;
  const max = Math.max(1, ...values);
  const points = values.map((v, i) => {
    const x = (i / (values.length - 1)) * (width - 4) + 2;
    return `${x.toFixed(1)} ${((1 - v / max) * (height - 4) + 2).toFixed(1)}`;
  });
  return (
    <svg
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      aria-hidden="true"
      focusable="false"
    >
      <path
        d={`M2 ${height - 2}L${points.join("L")}L${width - 2} ${height - 2}z`}
        fill={color}
        opacity={0.12}
      />
      <path d={`M${points.join("L")}`} fill="none" stroke={color} strokeWidth={1.5} strokeLinejoin="round" />
    </svg>
  );
}
