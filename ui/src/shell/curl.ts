/** A word as a POSIX shell takes it. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

/** The command of curl that posts `body` as JSON. */
export function curlCommand(url: string, body: unknown): string {
  const json = quote(JSON.stringify(body))
  return `curl ${quote(url)} \\\n  -H 'Content-Type: application/json' \\\n  -d ${json}`
}
