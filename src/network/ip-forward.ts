import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { DhowError, type Logger } from "../lib/mod.ts";
import type { Family } from "./ip.ts";

const PATHS = { 4: "/proc/sys/net/ipv4/ip_forward", 6: "/proc/sys/net/ipv6/conf/all/forwarding" } as const;
const SETTINGS = { 4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding" } as const;

/** Switches the host's forwarding of a family on, without which a bridge leads nowhere. @throws forbidden */
export function enableForwarding(family: Family, log: Logger): void {
  const path = PATHS[family];
  try {
    if (readFileSync(path, "utf8").trim() === "1") return;
    if (family === 6) keepAutoconfiguration();
    writeFileSync(path, "1");
  } catch (cause) {
    throw new DhowError("forbidden", `switch on ${path}: not permitted; set ${SETTINGS[family]}=1 or start with --ip-forward=false`, {
      cause,
    });
  }
  log.info("ip forwarding switched on", { family: `IPv${family}` });
}

/** A host that forwards takes no addresses and routes from routers any more, unless an interface is told to all the same (accept_ra=2). */
function keepAutoconfiguration(): void {
  const dir = "/proc/sys/net/ipv6/conf";
  for (const name of readdirSync(dir)) {
    if (name === "all" || name === "default") continue;
    const path = `${dir}/${name}/accept_ra`;
    if (readFileSync(path, "utf8").trim() === "1") writeFileSync(path, "2");
  }
}
