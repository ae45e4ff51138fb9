import { Button, Group, Modal, Text } from '@mantine/core'

import { useI18n } from '../i18n'

interface Props {
  uid: string
  opened: boolean
  onClose: () => void
  onConfirm: () => void
}

export function TerminateDialog({ uid, opened, onClose, onConfirm }: Props) {
  const { t } = useI18n()
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={t('running.terminate.title', { uid })}
      withCloseButton={false}
      centered
    >
      <Text mb="lg">{t('running.terminate.text')}</Text>
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose} data-autofocus>
          {t('running.keep')}
        </Button>
        <Button color="red" onClick={onConfirm}>
          {t('running.terminate')}
        </Button>
      </Group>
    </Modal>
  )
}
