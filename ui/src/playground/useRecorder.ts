import { useEffect, useRef, useState } from 'react'

export interface Recorder {
  /** Browsers give the microphone to pages of this machine, or over HTTPS. */
  available: boolean
  recording: boolean
  error: Error | null
  start: () => void
  /** Ends it; the sound goes to `onSound`. */
  stop: () => void
}

export function useRecorder(onSound: (sound: Blob) => void): Recorder {
  const [recording, setRecording] = useState(false)
  const [error, setError] = useState<Error | null>(null)
  const recorder = useRef<MediaRecorder | null>(null)
  useEffect(() => () => recorder.current?.stop(), [])

  async function start() {
    setError(null)
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true })
      const parts: Blob[] = []
      const own = new MediaRecorder(stream)
      own.ondataavailable = ({ data }) => parts.push(data)
      own.onstop = () => {
        for (const track of stream.getTracks()) track.stop()
        recorder.current = null
        setRecording(false)
        onSound(new Blob(parts, { type: own.mimeType }))
      }
      own.start()
      recorder.current = own
      setRecording(true)
    } catch (reason) {
      setError(reason as Error)
    }
  }

  return {
    available: Boolean(navigator.mediaDevices?.getUserMedia),
    recording,
    error,
    start: () => void start(),
    stop: () => recorder.current?.stop(),
  }
}
