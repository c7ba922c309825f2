/** A QR code from its rows of 0 and 1, drawn here: no picture leaves or comes.
 * Black on white in both schemes, with the quiet zone that readers need. */
export function Qr({ rows, size = 200, label }: { rows: string[]; size?: number; label: string }) {
  const quiet = 4;
  const n = rows.length + 2 * quiet;
  let path = "";
  rows.forEach((row, y) => {
    for (const run of row.matchAll(/1+/g))
      path += `M${(run.index ?? 0) + quiet} ${y + quiet}h${run[0].length}v1h-${run[0].length}z`;
  });
  return (
    <svg
      width={size}
      height={size}
      viewBox={`0 0 ${n} ${n}`}
      role="img"
      aria-label={label}
      shapeRendering="crispEdges"
    >
      <rect width={n} height={n} fill="#fff" rx="1.5" />
      <path d={path} fill="#000" />
    </svg>
  );
}
