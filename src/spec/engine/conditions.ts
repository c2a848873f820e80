/** How slow and lossy a container's network is, as text: `10mbit`, `80ms`, `10ms`, `1%`. */
export interface ConditionsText {
  readonly Rate?: string | undefined;
  readonly Delay?: string | undefined;
  readonly Jitter?: string | undefined;
  readonly Loss?: string | undefined;
}

/** Network conditions of containers: not part of Docker's API. */
export interface ConditionsApi {
  /**
   * Changes those of a container, running or not: what is left out stays as it is, an empty text takes it away. Answers with what holds
   * from now on.
   */
  change(ref: string, request: ConditionsText): Promise<ConditionsText>;
}
