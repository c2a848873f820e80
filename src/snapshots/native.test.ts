import { Native } from "./native.ts";
import { snapshotterSuite } from "./suite.ts";

snapshotterSuite((root, log) => new Native(root, log));
