import { OverlayError } from '../errors.ts'

/** Docker's own rule for network names (moby daemon/names), with the length that a key should have. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/

export function isOverlayName(text: string): boolean {
  return NAME.test(text)
}

/** The name itself when it is a legal overlay name. @throws OverlayError bad_input */
export function parseOverlayName(text: string): string {
  if (!isOverlayName(text)) {
    throw new OverlayError(
      'bad_input',
      `"${text}" cannot name an overlay; use 1 to 64 letters, digits, "_", "." or "-", with a letter or digit first`,
    )
  }
  return text
}
