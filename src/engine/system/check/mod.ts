import { hasRun } from "../../containers/mod.ts";
import { type Check, type CheckDeps, runChecks } from "./check.ts";
import { containerChecks } from "./containers.ts";
import { imageChecks } from "./images.ts";

const RETRY = "look at the daemon's log for the reason, and try again";

const databaseChecks: readonly Check[] = [
  {
    id: "database",
    text: "the database file",
    severity: "damage",
    repair: "",
    advice: "stop the daemon, keep a copy of db.sqlite, and put back one that was made before the damage",
    find: ({ db }) => db.damage().map((text) => ({ what: `the database is damaged: ${text}` })),
  },
  {
    id: "references",
    text: "rows that refer to each other",
    severity: "damage",
    repair: "deletes names and layers of images that are not there",
    advice: RETRY,
    find: ({ db, images }) =>
      db.danglingReferences().map(({ table, parent }) => ({
        what: `the table ${table} refers to ${parent} that are not there`,
        ...(parent === "images" ? { mend: () => images.deleteOrphanedRows() } : {}),
      })),
  },
];

const otherChecks: readonly Check[] = [
  {
    id: "volumes",
    text: "volumes, their directories and mounts",
    severity: "damage",
    repair: "takes in unknown ones, makes lost directories, unmounts what nobody uses",
    advice: RETRY,
    find: ({ containers }) => containers.volumes.defects(),
  },
  {
    id: "network",
    text: "endpoints, interfaces, addresses, ports and firewall",
    severity: "damage",
    repair: "gives back what is of nobody, and writes the firewall's table anew",
    advice: RETRY,
    find: ({ containers }) => containers.network.defects((id) => hasRun(containers, id)),
  },
  {
    id: "connections",
    text: "interfaces of running containers",
    severity: "damage",
    repair: "",
    advice: "restart the container",
    find: ({ containers }) => containers.network.cutOff().map((id) => ({ what: `container ${id} has lost its interface`, owner: id })),
  },
  {
    id: "leases",
    text: "rows of leases",
    severity: "damage",
    repair: "writes the row again, or deletes that of no lease",
    advice: RETRY,
    find: ({ book }) => book.defects(),
  },
  {
    id: "events",
    text: "the events of the past",
    severity: "damage",
    repair: "keeps the lines that are whole",
    advice: RETRY,
    find: ({ history }) => history.defects(),
  },
  {
    id: "temporary-files",
    text: "files of loads and pulls",
    severity: "leftover",
    repair: "deletes those that nobody is about",
    advice: RETRY,
    find: ({ temporaryDefects }) => temporaryDefects(),
  },
];

/** Every check, in an order in which what one of them mends is right for those after it. */
export const CHECKS: readonly Check[] = [...databaseChecks, ...containerChecks, ...imageChecks, ...otherChecks];

export { type CheckDeps, runChecks };
