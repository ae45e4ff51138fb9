import { useEffect, useRef, useState } from 'react'

export interface Recorder {
  /** Browsers give the microphone to pages of this machine, or over HTTPS. */
  available: boolean
  /** Seconds that were recorded so far; null while nothing is. */
  seconds: number | null
  error: Error | null
  start: () => void
  /** Ends it; the sound goes to `onSound`. */
  stop: () => void
}

export function useRecorder(onSound: (sound: File) => void): Recorder {
  const [seconds, setSeconds] = useState<number | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const recorder = useRef<MediaRecorder | null>(null)
  /** Whether the user is being asked for the microphone. */
  const asking = useRef(false)
  const left = useRef(false)
  useEffect(() => {
    left.current = false
    return () => {
      left.current = true
      recorder.current?.stop()
    }
  }, [])
  const recording = seconds !== null
  useEffect(() => {
    if (!recording) return
    const timer = setInterval(() => setSeconds((before) => before !== null ? before + 1 : null), 1_000)
    return () => clearInterval(timer)
  }, [recording])

  async function start() {
    if (asking.current) return
    asking.current = true
    setError(null)
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true })
      if (left.current) {
        release(stream)
        return
      }
      const parts: Blob[] = []
      const own = new MediaRecorder(stream)
      own.ondataavailable = ({ data }) => parts.push(data)
      own.onstop = () => {
        release(stream)
        recorder.current = null
        setSeconds(null)
        onSound(toFile(parts, own.mimeType))
      }
      own.start()
      recorder.current = own
      setSeconds(0)
    } catch (reason) {
      setError(reason as Error)
    } finally {
      asking.current = false
    }
  }

  return {
    available: Boolean(navigator.mediaDevices?.getUserMedia),
    seconds,
    error,
    start: () => void start(),
    stop: () => recorder.current?.stop(),
  }
}

/** Lets go of the microphone. */
function release(stream: MediaStream) {
  for (const track of stream.getTracks()) track.stop()
}

/** Browsers record in WebM or MP4, both of which the server reads. */
function toFile(parts: Blob[], type: string): File {
  const ending = /^\w+\/(\w+)/.exec(type)?.[1] ?? 'webm'
  return new File(parts, `recording.${ending}`, { type })
}
