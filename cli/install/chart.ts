/** What a person chose, in the order in which it counts: later beats earlier. */
export interface Choices {
  /** Texts of values files. */
  readonly values: readonly string[];
  /** KEY=VALUE, as Helm reads it. */
  readonly set: readonly string[];
  readonly setString: readonly string[];
}

export type ChartName = 'weft' | 'weft-crds';

export interface Rendering {
  readonly chart: ChartName;
  readonly namespace: string;
  readonly choices: Choices;
}

/** The charts below deploy/charts are the one source of what is installed; whoever renders them, Helm or we, gets the same. */
export interface ChartRenderer {
  /** Resolves to manifests. @throws WeftError E406 */
  render(rendering: Rendering, signal: AbortSignal): Promise<string>;
  /** A values file that the chart carries, such as values-ha.yaml. @throws WeftError E406 */
  carriedValues(chart: ChartName, file: string): string;
}
