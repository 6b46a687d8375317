// The pages that the navigation lists, in groups, with the letter that follows `g`.

export const PLACES = [
  { path: "/start", name: "Start", key: "s", group: "" },
  { path: "/", name: "Overview", key: "o", group: "Observe" },
  { path: "/requests", name: "Requests", key: "r", group: "Observe" },
  { path: "/usage", name: "Usage", key: "u", group: "Observe" },
  { path: "/zones", name: "Zones", key: "z", group: "Serve" },
  { path: "/upstreams", name: "Upstreams", key: "e", group: "Serve" },
  { path: "/playground", name: "Playground", key: "p", group: "Serve" },
  { path: "/keys", name: "Keys", key: "k", group: "Manage" },
  { path: "/projects", name: "Projects", key: "j", group: "Manage" },
  { path: "/prices", name: "Prices", key: "c", group: "Manage" },
  { path: "/system", name: "System", key: "y", group: "Manage" },
] as const;
