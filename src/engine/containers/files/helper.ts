import { encodeError, FRAME, type HelperEnd, runHelper } from "../../aside/mod.ts";
import { type UnpackJob, workHere } from "./file-work.ts";
import { openView, type ViewPlan } from "./open-view.ts";

/** Where the helper finds the root file system. */
export const ROOT_FD = 3;

const NEVER = new AbortController().signal;

/** What the helper is to do with the view, whose plan comes before. */
export type Work =
  | { readonly kind: "stat"; readonly path: string }
  | { readonly kind: "pack"; readonly path: string }
  | { readonly kind: "unpack"; readonly job: UnpackJob };

/** The file helper: does one piece of work on the files of one container and ends. */
export function runFileHelper(argv: readonly string[]): Promise<number> {
  return runHelper(argv, serve);
}

async function serve(daemon: HelperEnd): Promise<void> {
  const plan = (await daemon.message()) as ViewPlan;
  using opened = await openView(plan, ROOT_FD);
  using work = workHere(opened, plan.container, NEVER);
  daemon.send(FRAME.opened, {});
  await daemon.flush();
  const asked = (await daemon.message()) as Work;
  switch (asked.kind) {
    case "stat":
      daemon.send(FRAME.stat, await work.stat(asked.path));
      return;
    case "pack": {
      const { stat, archive } = await work.pack(asked.path, (file, error) => daemon.send(FRAME.fault, { file, error: encodeError(error) }));
      daemon.send(FRAME.stat, stat);
      return daemon.sendArchive(archive);
    }
    case "unpack":
      await work.unpack(asked.job, daemon.remaining());
      daemon.send(FRAME.done, {});
      return;
    default: {
      const _: never = asked;
      return _;
    }
  }
}
