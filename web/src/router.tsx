import {
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type RouteComponent,
} from "@tanstack/react-router";
import { Loading, ProblemAlert } from "@/components/Feedback";
import { parseSearch, stringifySearch } from "@/lib/filters";
import type { Search } from "@/lib/search";
import Overview from "@/pages/Overview";
import { loadOverview } from "@/pages/overview/queries";
import { NotFound } from "@/shell/NotFound";
import { Shell } from "@/shell/Shell";
import { fetched, NotFetched, Unfetched } from "@/shell/Unfetched";

const root = createRootRoute({ notFoundComponent: NotFound });

// Pages within the frame, for those who are signed in.
const inside = createRoute({ getParentRoute: () => root, id: "inside", component: Shell });

const page = <const P extends string>(path: P, load: () => Promise<{ default: RouteComponent }>) =>
  createRoute({ getParentRoute: () => inside, path, component: lazyRouteComponent(() => fetched(load)) });

// Pages without the frame: before somebody is signed in.
const door = <const P extends string>(path: P, load: () => Promise<{ default: RouteComponent }>) =>
  createRoute({ getParentRoute: () => root, path, component: lazyRouteComponent(() => fetched(load)) });

/** Every page of the dashboard. Search parameters are flat strings (lib/filters). */
const tree = root.addChildren([
  door("/sign-in", () => import("@/pages/SignIn")),
  door("/setup", () => import("@/pages/Setup")),
  door("/accept", () => import("@/pages/Accept")),
  inside.addChildren([
    // The page that everybody begins with comes with the frame.
    createRoute({
      getParentRoute: () => inside,
      path: "/",
      component: Overview,
      // The frame is drawn meanwhile.
      pendingComponent: Loading,
      pendingMs: 0,
      pendingMinMs: 0,
      loader: ({ location }) => loadOverview(location.search as Search),
    }),
    page("/events", () => import("@/pages/Events")),
    page("/addresses", () => import("@/pages/Addresses")),
    page("/addresses/$ip", () => import("@/pages/Address")),
    page("/accounts", () => import("@/pages/Accounts")),
    page("/accounts/$account", () => import("@/pages/Account")),
    page("/blocks", () => import("@/pages/Blocks")),
    page("/demands", () => import("@/pages/Demands")),
    page("/trusted", () => import("@/pages/Trusted")),
    page("/sessions", () => import("@/pages/Sessions")),
    page("/tracking", () => import("@/pages/Tracking")),
    page("/references/$ref", () => import("@/pages/Reference")),
    page("/policy", () => import("@/pages/Policy")),
    page("/providers", () => import("@/pages/Providers")),
    page("/sites", () => import("@/pages/Sites")),
    page("/notifications", () => import("@/pages/Notifications")),
    page("/applications", () => import("@/pages/Applications")),
    page("/operators", () => import("@/pages/Operators")),
    page("/audit", () => import("@/pages/Audit")),
    page("/reports", () => import("@/pages/Reports")),
    page("/settings", () => import("@/pages/Settings")),
    page("/me", () => import("@/pages/Profile")),
    page("/start", () => import("@/pages/Start")),
  ]),
]);

export const router = createRouter({
  routeTree: tree,
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  scrollRestoration: true,
  defaultErrorComponent: ({ error, reset }) =>
    error instanceof NotFetched ? <Unfetched /> : <ProblemAlert error={error} retry={reset} />,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
