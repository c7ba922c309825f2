import {
  type Icon,
  IconActivity,
  IconAdjustments,
  IconApps,
  IconBan,
  IconBell,
  IconDevices,
  IconDoor,
  IconEraser,
  IconFileAnalytics,
  IconGauge,
  IconKey,
  IconListDetails,
  IconNetwork,
  IconRss,
  IconScale,
  IconShieldCheck,
  IconUserShield,
  IconUsers,
} from "@tabler/icons-react";

export type Entry = { to: string; label: string; icon: Icon };

/** The menu: what happened, what is in force, how it is set up. */
export const navigation: { title: string; entries: Entry[] }[] = [
  {
    title: "Watch",
    entries: [
      { to: "/", label: "Security events", icon: IconGauge },
      { to: "/events", label: "Events", icon: IconActivity },
      { to: "/addresses", label: "Addresses", icon: IconNetwork },
      { to: "/accounts", label: "Accounts", icon: IconUsers },
      { to: "/sessions", label: "Sessions", icon: IconDevices },
    ],
  },
  {
    title: "Act",
    entries: [
      { to: "/blocks", label: "Blocks", icon: IconBan },
      { to: "/demands", label: "Demands", icon: IconKey },
      { to: "/trusted", label: "Trusted", icon: IconShieldCheck },
      { to: "/tracking", label: "Clear tracking", icon: IconEraser },
    ],
  },
  {
    title: "Configure",
    entries: [
      { to: "/sites", label: "Sites", icon: IconDoor },
      { to: "/policy", label: "Policy", icon: IconScale },
      { to: "/providers", label: "Providers", icon: IconRss },
      { to: "/notifications", label: "Notifications", icon: IconBell },
      { to: "/applications", label: "Applications", icon: IconApps },
      { to: "/operators", label: "Operators", icon: IconUserShield },
      { to: "/settings", label: "Settings", icon: IconAdjustments },
    ],
  },
  {
    title: "Account for",
    entries: [
      { to: "/audit", label: "Audit", icon: IconListDetails },
      { to: "/reports", label: "Reports", icon: IconFileAnalytics },
    ],
  },
];
