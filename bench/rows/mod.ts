import type { Row } from "../measure.ts";
import { loadRow, saveRow } from "./archive.ts";
import { commitRow, exportRow } from "./commit.ts";
import { copyRows } from "./copy.ts";
import { crowdRow } from "./crowd.ts";
import { dnsRow } from "./dns.ts";
import { execRow } from "./exec.ts";
import { fleetRow } from "./fleet.ts";
import { logsRows } from "./logs.ts";
import { networkRows } from "./network.ts";
import { portsRow } from "./ports.ts";
import { psRow } from "./ps.ts";
import { runRows } from "./run.ts";
import { stdoutRow } from "./stdout.ts";
import { throughputRows } from "./throughput.ts";
import { volumeRows } from "./volumes.ts";

/** All rows, in the table's order. */
export const rows: readonly Row[] = [
  ...runRows,
  execRow,
  fleetRow,
  ...logsRows,
  stdoutRow,
  loadRow,
  saveRow,
  commitRow,
  exportRow,
  ...copyRows,
  psRow,
  crowdRow,
  ...networkRows,
  ...volumeRows,
  portsRow,
  dnsRow,
  ...throughputRows,
];
