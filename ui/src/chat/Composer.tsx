import { Button, FileButton, Group, Stack, Textarea } from '@mantine/core'
import { useState } from 'react'
import type { ClipboardEvent, KeyboardEvent } from 'react'

import { useI18n } from '../i18n'
import { readDataUrl } from '../shell/files'
import { ImageIcon } from '../shell/icons'
import { Thumbnails } from './Thumbnails'
import type { Input } from './turn'

const PICTURES = ['image/png', 'image/jpeg', 'image/bmp', 'image/gif']

interface Props {
  streaming: boolean
  /** Whether the model sees pictures. */
  seesPictures: boolean
  onSend: (input: Input) => void
  onStop: () => void
}

export function Composer({ streaming, seesPictures, onSend, onStop }: Props) {
  const { t } = useI18n()
  const [text, setText] = useState('')
  const [images, setImages] = useState<string[]>([])

  function send() {
    if (streaming || !(text.trim() || images.length > 0)) return
    onSend({ kind: 'user', text, images })
    setText('')
    setImages([])
  }

  async function add(files: File[]) {
    const pictures = files.filter((file) => PICTURES.includes(file.type))
    const urls = await Promise.all(pictures.map(readDataUrl))
    setImages((before) => [...before, ...urls])
  }

  function onKeyDown(event: KeyboardEvent) {
    // While an input method composes, Enter picks a character.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    event.preventDefault()
    send()
  }

  function onPaste(event: ClipboardEvent) {
    if (!seesPictures || event.clipboardData.files.length === 0) return
    event.preventDefault()
    void add([...event.clipboardData.files])
  }

  return (
    <Stack
      component="form"
      gap="xs"
      onSubmit={(event) => {
        event.preventDefault()
        send()
      }}
    >
      <Thumbnails
        images={images}
        onRemove={(index) => setImages(images.filter((_, other) => other !== index))}
      />
      <Group align="flex-end" wrap="nowrap" gap="xs">
        {seesPictures && (
          <FileButton multiple accept={PICTURES.join(',')} onChange={(files) => void add(files)}>
            {(props) => (
              <Button variant="default" px="xs" aria-label={t('chat.attach')} {...props}>
                <ImageIcon />
              </Button>
            )}
          </FileButton>
        )}
        <Textarea
          aria-label={t('chat.message')}
          placeholder={t('chat.message.placeholder')}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          onKeyDown={onKeyDown}
          onPaste={onPaste}
          autosize
          minRows={1}
          maxRows={8}
          flex={1}
        />
        {streaming ? (
          <Button color="red" onClick={onStop}>
            {t('chat.stop')}
          </Button>
        ) : (
          <Button type="submit">{t('chat.send')}</Button>
        )}
      </Group>
    </Stack>
  )
}
