import type { PathStat } from "../../../spec/engine/mod.ts";
import { FRAME, HelperProcess } from "../../aside/mod.ts";
import type { FileWork } from "./file-work.ts";
import type { Work } from "./helper.ts";
import type { HeldPlan } from "./open-view.ts";

/** Works on a container's files in a process of its own, which is killed when `signal` is aborted. @throws what opening the files throws */
export async function workElsewhere(command: readonly string[], held: HeldPlan, signal: AbortSignal): Promise<FileWork> {
  using stack = new DisposableStack();
  const helper = stack.use(new HelperProcess(command, signal, held.root));
  await helper.tell(held.plan);
  await helper.frame(FRAME.opened);
  stack.move();
  return {
    stat: async (path) => {
      await helper.tell({ kind: "stat", path } satisfies Work);
      return (await helper.frame(FRAME.stat)).value as PathStat;
    },
    pack: async (path, onFault) => {
      await helper.tell({ kind: "pack", path } satisfies Work);
      const stat = (await helper.frame(FRAME.stat)).value as PathStat;
      return { stat, archive: helper.archive(onFault) };
    },
    unpack: async (job, tar) => {
      await helper.tell({ kind: "unpack", job } satisfies Work);
      await helper.unpack(tar);
    },
    [Symbol.dispose]: () => helper[Symbol.dispose](),
  };
}
