import {
  Alert,
  type CSSVariablesResolver,
  createTheme,
  Drawer,
  InputDescription,
  type MantineColorsTuple,
  Modal,
  Table,
  Tooltip,
} from "@mantine/core";

// The house colour: a calm green that no severity has.
const warder: MantineColorsTuple = [
  "#e6f7f1",
  "#cdebe0",
  "#9bd8c2",
  "#66c4a2",
  "#3db488",
  "#23a878",
  "#12966a",
  "#0a7a5f",
  "#086350",
  "#054c3e",
];

// Greys with a little blue, as the panels have: fields and buttons belong to them.
const dark: MantineColorsTuple = [
  "#dfe3e6",
  "#c3cacf",
  "#9aa4ab",
  "#7d8890",
  "#3f474e",
  "#343b41",
  "#282e33",
  "#1e2226",
  "#16191c",
  "#101214",
];

// What lies above a page has the colour of a panel, not of the page.
const raised = { content: { background: "var(--surface)" }, header: { background: "var(--surface)" } };

export const theme = createTheme({
  colors: { warder, dark },
  primaryColor: "warder",
  primaryShade: { light: 7, dark: 4 },
  autoContrast: true,
  defaultRadius: "md",
  fontFamily:
    'Inter, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", Arial, sans-serif',
  fontFamilyMonospace: 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace',
  headings: { fontWeight: "650" },
  components: {
    Alert: Alert.extend({ styles: { title: { color: "var(--mantine-color-text)" } } }),
    Drawer: Drawer.extend({
      defaultProps: { closeButtonProps: { "aria-label": "Close" } },
      styles: raised,
    }),
    Modal: Modal.extend({
      defaultProps: {
        centered: true,
        overlayProps: { backgroundOpacity: 0.45 },
        closeButtonProps: { "aria-label": "Close" },
      },
      styles: {
        ...raised,
        title: {
          fontWeight: 650,
          fontSize: "var(--mantine-font-size-lg)",
          lineHeight: 1.3,
          minWidth: 0,
          overflowWrap: "anywhere",
        },
      },
    }),
    Tooltip: Tooltip.extend({
      defaultProps: {
        events: { hover: true, focus: true, touch: true },
        withArrow: true,
        multiline: true,
        maw: 320,
      },
    }),
    InputDescription: InputDescription.extend({ styles: { description: { lineHeight: 1.4 } } }),
    Table: Table.extend({
      defaultProps: { verticalSpacing: "xs", highlightOnHover: true, highlightOnHoverColor: "var(--tint)" },
    }),
  },
});

// Filled buttons carry white text in both schemes: 5:1 at least.
const filled = {
  "--mantine-color-red-filled": "#c92a2a",
  "--mantine-color-red-filled-hover": "#b02525",
  "--mantine-color-warder-filled": "#0a7a5f",
  "--mantine-color-warder-filled-hover": "#086350",
};

/** Colours that have a meaning of their own, checked for contrast in both schemes. */
export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    ...filled,
    // What stands on a light tint of its own colour: 4.5:1 at least.
    "--mantine-color-yellow-light-color": "#7a5700",
    "--mantine-color-teal-light-color": "#05624a",
    "--mantine-color-orange-light-color": "#9c3306",
    "--mantine-color-body": "#f7f8f8",
    "--surface": "#ffffff",
    "--surface-border": "#e3e6e8",
    "--tint": "#f3f5f5",
    "--diff-gone": "#fdecec",
    "--diff-gone-text": "#8c1d1d",
    "--diff-new": "#e3f6ee",
    "--diff-new-text": "#07543f",
    "--mantine-color-dimmed": "#5a636b",
    "--mantine-color-placeholder": "#6b747c",
    "--mantine-color-error": "#c92a2a",
    "--severity-info": "#1971c2",
    "--severity-warning": "#b58100",
    "--severity-high": "#d9480f",
    "--severity-critical": "#c92a2a",
    "--severity-info-text": "#1864ab",
    "--severity-warning-text": "#7a5700",
    "--severity-high-text": "#b23a08",
    "--severity-critical-text": "#b02222",
    "--state-good": "#087f5b",
    "--series-1": "#0b7285",
    "--series-2": "#6741d9",
    "--series-3": "#5c940d",
    "--series-4": "#c2255c",
    "--series-5": "#3b5bdb",
    "--series-6": "#a06a00",
    "--series-7": "#0c8599",
    "--series-8": "#9c36b5",
    "--series-9": "#868e96",
  },
  dark: {
    ...filled,
    "--mantine-color-body": "#16191c",
    "--surface": "#1e2226",
    "--surface-border": "#32383d",
    "--tint": "#171b1e",
    "--diff-gone": "#3a1f22",
    "--diff-gone-text": "#ffb3b3",
    "--diff-new": "#16332a",
    "--diff-new-text": "#8ce8c6",
    "--mantine-color-dimmed": "#a3acb3",
    "--mantine-color-placeholder": "#929ca4",
    // Tints under text: quiet, since a page shows several of them.
    "--mantine-color-red-light": "#4a1d20",
    "--mantine-color-red-light-color": "#ffb3b3",
    "--mantine-color-orange-light": "#472814",
    "--mantine-color-yellow-light": "#3d3110",
    "--mantine-color-teal-light": "#0f3a2f",
    "--mantine-color-warder-light": "#0f3a2f",
    "--mantine-color-warder-light-hover": "#14473a",
    "--mantine-color-blue-light": "#15324e",
    "--mantine-color-gray-light": "#2e353b",
    "--mantine-color-error": "#ff8787",
    "--severity-info": "#4dabf7",
    "--severity-warning": "#ffd43b",
    "--severity-high": "#ff922b",
    "--severity-critical": "#ff6b6b",
    "--severity-info-text": "#74c0fc",
    "--severity-warning-text": "#ffd43b",
    "--severity-high-text": "#ffa94d",
    "--severity-critical-text": "#ff8787",
    "--state-good": "#38d9a9",
    "--series-1": "#3bc9db",
    "--series-2": "#9775fa",
    "--series-3": "#94d82d",
    "--series-4": "#f783ac",
    "--series-5": "#748ffc",
    "--series-6": "#e8b04a",
    "--series-7": "#66d9e8",
    "--series-8": "#da77f2",
    "--series-9": "#868e96",
  },
});
