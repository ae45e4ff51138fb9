const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** Bytes as a person reads them: 1.5 GiB. */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1)
  const value = bytes / 1024 ** power
  return `${power > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${UNITS[power]}`
}

export function formatTime(seconds: number, language: string): string {
  const format = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' })
  return format.format(seconds * 1000)
}

/** Billions of parameters as a person reads them: 7 B, 33 M. */
export function formatParameters(billions: number | string, language: string): string {
  const value = Number(formatSize(billions))
  const format = new Intl.NumberFormat(language, { maximumSignificantDigits: 4 })
  // Half a billion is called 0.5 B, and not 500 M.
  if (value >= 0.1) return `${format.format(value)} B`
  return value >= 0.001 ? `${format.format(value * 1e3)} M` : `${format.format(value * 1e6)} K`
}

/** A size in billions of parameters as text: 0.5 for `0_5`. */
export function formatSize(size: number | string): string {
  return String(size).replace('_', '.')
}

const UNITS_OF_TIME = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const

/** Seconds as a person says them, in one unit: 5 min. */
export function formatDuration(seconds: number, language: string): string {
  const [unit, length] = UNITS_OF_TIME.find(([, one]) => seconds >= 1.5 * one) ?? ['second', 1]
  const style = { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 0 } as const
  return new Intl.NumberFormat(language, style).format(seconds / length)
}

/** Seconds into a recording: 1:02.5. */
export function formatClock(seconds: number): string {
  const tenths = Math.round(seconds * 10)
  const minutes = Math.floor(tenths / 600)
  return `${minutes}:${((tenths % 600) / 10).toFixed(1).padStart(4, '0')}`
}

/** The name of a language of this code, in the language `own`. */
export function nameOfLanguage(code: string, own: string): string {
  try {
    return new Intl.DisplayNames(own, { type: 'language' }).of(code) ?? code
  } catch {
    return code // One of a kind that browsers do not know.
  }
}
