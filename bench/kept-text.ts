/** Around what is written by hand in a document that a program writes. */
export const KEPT_FROM = '<!-- Written by hand from here; kept when this file is written anew. -->'
export const KEPT_TO = '<!-- Written by hand up to here. -->'

/** What stands between the markers, without the empty lines around it; empty without markers. */
export function keptText(document: string): string {
  const from = document.indexOf(KEPT_FROM)
  const to = document.indexOf(KEPT_TO, from)
  return from < 0 || to < 0 ? '' : document.slice(from + KEPT_FROM.length, to).trim()
}

/** The markers with the text between them, as lines of a document. */
export function keptLines(text: string): string[] {
  return [KEPT_FROM, '', ...(text === '' ? [] : [text, '']), KEPT_TO]
}
