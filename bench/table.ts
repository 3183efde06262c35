/** A table of Markdown, as lines. */
export function tableOf(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return [lineOf(heads), lineOf(heads.map(() => '---')), ...rows.map(lineOf)]
}

const lineOf = (cells: readonly string[]): string =>
  `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
