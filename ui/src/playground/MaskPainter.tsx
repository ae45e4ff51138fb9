import { Button, FileInput, Group, Slider, Stack, Switch, Text, VisuallyHidden } from '@mantine/core'
import { useId, useImperativeHandle, useRef, useState } from 'react'
import type { Ref } from 'react'

import { useI18n } from '../i18n'
import { ErrorAlert } from '../shell/ErrorAlert'
import { clear, paintMask, toMask } from './mask'
import classes from './MaskPainter.module.css'
import { useBrush } from './useBrush'
import { useObjectUrl } from './useObjectUrl'

export interface Mask {
  /** A PNG of the picture's size, transparent where it was painted; null where nothing was. */
  read: () => Promise<Blob | null>
}

interface Props {
  ref: Ref<Mask>
  image: File
  onPaint: (painted: boolean) => void
}

/** Shows a picture, on which one paints what is to be drawn anew, or puts a mask from a file. */
export function MaskPainter({ ref, image, onPaint }: Props) {
  const { t } = useI18n()
  const help = useId()
  const url = useObjectUrl(image)
  const canvas = useRef<HTMLCanvasElement>(null)
  const [painted, setPainted] = useState(false)
  const [width, setWidth] = useState(40)
  const [erase, setErase] = useState(false)
  const [file, setFile] = useState<File | null>(null)
  const [error, setError] = useState<Error | null>(null)
  const { at, held, byKeys, release, ...handlers } = useBrush(canvas, { width, erase, onPaint: mark })

  function mark(value: boolean) {
    setPainted(value)
    onPaint(value)
    if (!value) setFile(null)
  }

  function wipe() {
    if (canvas.current) clear(canvas.current)
    mark(false)
  }

  async function take(chosen: File | null) {
    setError(null)
    if (!chosen) return wipe()
    if (!canvas.current) return
    try {
      await paintMask(canvas.current, chosen)
      mark(true)
      setFile(chosen)
    } catch {
      wipe()
      setError(new Error(t('image.mask.unread', { name: chosen.name })))
    }
  }

  useImperativeHandle(ref, () => ({
    read: () => (painted && canvas.current ? toMask(canvas.current) : Promise.resolve(null)),
  }))

  if (!url) return null
  return (
    <Stack gap="xs">
      <div>
        <Text fz="sm">{t('image.paint')}</Text>
        <Text fz="xs" c="dimmed" id={help}>
          {t('image.paint.keys')}
        </Text>
      </div>
      <div className={classes.stage}>
        <img
          src={url}
          alt={image.name}
          className={classes.picture}
          onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) => {
            if (!canvas.current) return
            canvas.current.width = naturalWidth
            canvas.current.height = naturalHeight
          }}
        />
        <canvas
          ref={canvas}
          className={classes.layer}
          tabIndex={0}
          role="application"
          aria-label={t('image.mask')}
          aria-describedby={help}
          onPointerLeave={release}
          onBlur={release}
          {...handlers}
        />
        {at && held && (
          <div
            className={classes.brush}
            style={{ left: `${at[0] * 100}%`, top: `${at[1] * 100}%`, width }}
          />
        )}
        <VisuallyHidden aria-live="polite">
          {at &&
            held &&
            byKeys &&
            t('image.brush.at', { x: Math.round(at[0] * 100), y: Math.round(at[1] * 100) })}
        </VisuallyHidden>
      </div>
      <Group align="center" gap="lg">
        <Slider
          min={4}
          max={120}
          value={width}
          onChange={setWidth}
          thumbLabel={t('image.brush')}
          label={null}
          w={160}
        />
        <Switch
          label={t('image.erase')}
          checked={erase}
          onChange={(event) => setErase(event.currentTarget.checked)}
        />
        <Button size="xs" variant="default" disabled={!painted} onClick={wipe}>
          {t('image.clear')}
        </Button>
        <FileInput
          size="xs"
          aria-label={t('image.mask.file')}
          placeholder={t('image.mask.file')}
          accept="image/png,image/jpeg,image/webp"
          value={file}
          onChange={(chosen) => void take(chosen)}
          miw={180}
        />
      </Group>
      <ErrorAlert error={error} />
    </Stack>
  )
}
