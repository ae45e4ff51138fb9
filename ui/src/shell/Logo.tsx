import logo from './logo.svg'

export function Logo() {
  return <img src={logo} width={28} height={28} alt="" />
}
