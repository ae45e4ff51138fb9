import { CloseButton, Group } from '@mantine/core'

import { useI18n } from '../i18n'

interface Props {
  /** Data URLs. */
  images: string[]
  onRemove: (index: number) => void
}

export function Thumbnails({ images, onRemove }: Props) {
  const { t } = useI18n()
  if (images.length === 0) return null
  return (
    <Group gap="xs">
      {images.map((url, index) => (
        <Group key={index} gap={0} align="flex-start" wrap="nowrap">
          <img src={url} alt={t('chat.picture')} height={64} style={{ borderRadius: 8 }} />
          <CloseButton
            size="sm"
            aria-label={t('chat.picture.remove', { number: index + 1 })}
            onClick={() => onRemove(index)}
          />
        </Group>
      ))}
    </Group>
  )
}
