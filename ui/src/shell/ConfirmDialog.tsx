import { Button, Group, Modal, Text } from '@mantine/core'

interface Props {
  opened: boolean
  title: string
  text: string
  /** What the two buttons say: the first changes nothing. */
  keep: string
  confirm: string
  onClose: () => void
  onConfirm: () => void
}

export function ConfirmDialog({ opened, title, text, keep, confirm, onClose, onConfirm }: Props) {
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={title}
      styles={{ title: { fontWeight: 700, overflowWrap: 'anywhere' } }}
      withCloseButton={false}
      centered
    >
      <Text mb="lg">{text}</Text>
      <Group justify="flex-end">
        <Button variant="default" onClick={onClose} data-autofocus>
          {keep}
        </Button>
        <Button
          color="red"
          onClick={() => {
            onClose()
            onConfirm()
          }}
        >
          {confirm}
        </Button>
      </Group>
    </Modal>
  )
}
