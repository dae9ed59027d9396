{# The switch of theme, and the filter of features by verdict and name. #}
(()=>{
const root=document.documentElement,at=id=>document.getElementById(id),KEY="report-theme";
const system=matchMedia("(prefers-color-scheme:dark)"),button=at("theme");
const dark=()=>root.dataset.theme?root.dataset.theme==="dark":system.matches;
const paint=()=>button.setAttribute("aria-pressed",dark());
try{const kept=localStorage.getItem(KEY);if(kept)root.dataset.theme=kept}catch{}
button.onclick=()=>{
const next=dark()?"light":"dark";
delete root.dataset.theme;
if(dark()!==(next==="dark"))root.dataset.theme=next;
try{root.dataset.theme?localStorage.setItem(KEY,next):localStorage.removeItem(KEY)}catch{}
paint()};
system.addEventListener("change",paint);
paint();
for(const each of document.querySelectorAll(".tools [hidden]"))each.hidden=false;
addEventListener("DOMContentLoaded",()=>{
const box=at("filter"),boxes=[...document.querySelectorAll(".tools [type=checkbox]")];
if(!box)return;
const rows=[...document.querySelectorAll("[aria-labelledby=features] tbody tr")].map(row=>{
const link=row.querySelector("a");
return{row,name:link.textContent.toLowerCase(),verdict:row.querySelector(".chip").classList[1],
section:at(link.getAttribute("href").slice(1)).closest(".feature")}});
const apply=()=>{
const words=box.value.toLowerCase().split(/\s+/).filter(Boolean);
const only=boxes.filter(each=>each.checked).map(each=>each.value);
let left=0,calm=0;
for(const each of rows){
const shown=(!only.length||only.includes(each.verdict))&&words.every(w=>each.name.includes(w));
each.row.hidden=each.section.hidden=!shown;
left+=shown;calm+=shown&&each.verdict==="ok"}
if(at("unchanged"))at("unchanged").hidden=!calm;
at("shown").textContent=words.length||only.length?`${left} of ${rows.length} shown`:""};
for(const each of [box,...boxes])each.addEventListener("input",apply);
// A browser that goes back fills in what was typed.
addEventListener("pageshow",apply)})})()
